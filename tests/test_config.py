"""Settings: precedence, units, and messages a person can act on."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Final

import pytest
from pydantic import ValidationError

from amqpbroker.config import Config, ConfigError, load, read_file

REPO: Final = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in ("PORT", "HOST", "CONFIG_FILE", "DATA_DIR", "LOOPBACK_USERS"):
        monkeypatch.delenv(f"AMQPBROKER_{variable}", raising=False)


def toml(text: str, name: str = "broker.toml") -> Path:
    path = Path(name)
    path.write_text(text)
    return path


def message(**flags: object) -> str:
    with pytest.raises(ConfigError) as caught:
        load(flags)
    return str(caught.value)


def test_defaults_serve_this_machine_only() -> None:
    config = load()
    assert (config.host, config.port, config.management_port) == ("127.0.0.1", 5672, 15672)
    assert config.loopback_users == {"guest"}
    assert not config.is_memory


def test_defaults_propose_what_rabbitmq_proposes() -> None:
    config = load()
    assert (config.channel_max, config.frame_max, config.heartbeat_s) == (2047, 131072, 60)
    assert (config.product, config.version) == ("RabbitMQ", "3.13.7")


def test_flags_win_over_environment_over_file(monkeypatch: pytest.MonkeyPatch) -> None:
    path = toml('port = 1\nhost = "h1"\ncluster_name = "c1"')
    monkeypatch.setenv("AMQPBROKER_PORT", "2")
    monkeypatch.setenv("AMQPBROKER_HOST", "h2")
    config = load({"config_file": path, "port": "3"})
    assert (config.port, config.host, config.cluster_name) == (3, "h2", "c1")


def test_the_file_may_be_named_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMQPBROKER_CONFIG_FILE", str(toml("port = 77")))
    assert load().port == 77


def test_a_flag_that_was_not_given_leaves_the_weaker_sources() -> None:
    assert load({"config_file": toml("port = 9"), "port": None}).port == 9


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMQPBROKER_PORT", "")
    assert load().port == 5672


def test_a_data_folder_flag_switches_memory_off() -> None:
    path = toml("is_memory = true")
    assert load({"config_file": path}).is_memory
    assert not load({"config_file": path, "data_dir": "d"}).is_memory


@pytest.mark.parametrize("word", ["off", "None", "none", ""])
def test_the_management_port_can_be_off(word: str) -> None:
    assert load({"management_port": word}).management_port is None


def test_the_management_port_can_be_off_in_toml() -> None:
    assert load({"config_file": toml("management_port = false")}).management_port is None


@pytest.mark.parametrize(
    ("text", "users"), [("a, b", {"a", "b"}), ("none", set()), ("guest", {"guest"})]
)
def test_names_are_separated_by_commas(
    monkeypatch: pytest.MonkeyPatch, text: str, users: set[str]
) -> None:
    monkeypatch.setenv("AMQPBROKER_LOOPBACK_USERS", text)
    assert load().loopback_users == users


def test_names_are_a_list_in_toml() -> None:
    assert load({"config_file": toml('loopback_users = ["x"]')}).loopback_users == {"x"}


def test_a_bad_flag_is_named() -> None:
    assert message(port="x") == "--port: found 'x', expected a whole number"


def test_a_bad_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMQPBROKER_PORT", "70000")
    assert message() == "AMQPBROKER_PORT: found '70000', expected less than or equal to 65535"


def test_a_bad_key_of_the_file_is_named() -> None:
    text = message(config_file=toml("frame_max = 1"))
    assert text == "broker.toml: frame_max: found 1, expected greater than or equal to 4096"


def test_an_unknown_key_is_refused_with_a_guess() -> None:
    text = message(config_file=toml("prot = 5673"))
    assert text == "broker.toml: prot: unknown key, did you mean 'port'?"


def test_every_mistake_is_told_at_once() -> None:
    assert len(message(port="x", log_level="loud", definitions="none.json").splitlines()) == 3


def test_a_missing_file_is_told() -> None:
    assert message(tls_ca=Path("x.pem")).endswith("found 'x.pem', expected a file that exists")
    assert (
        message(config_file=Path("x.toml")) == "x.toml: cannot be read: No such file or directory"
    )


@pytest.mark.parametrize("field", ["user", "pass", "vhost"])
def test_the_variables_of_rabbitmqs_image_are_read(
    monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    # A14.7
    path = toml(f'default_{field} = "from-file"')
    monkeypatch.setenv(f"RABBITMQ_DEFAULT_{field.upper()}", "from-image")
    assert getattr(load({"config_file": path}), f"default_{field}") == "from-image"
    monkeypatch.setenv(f"AMQPBROKER_DEFAULT_{field.upper()}", "ours")
    assert getattr(load({"config_file": path}), f"default_{field}") == "ours"


def test_an_empty_variable_of_rabbitmqs_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RABBITMQ_DEFAULT_VHOST", "")
    assert load().default_vhost == "/"


def test_broken_toml_names_file_and_line() -> None:
    text = message(config_file=toml("port = = 1"))
    assert text.startswith("broker.toml: is not TOML: ")
    assert "line 1" in text


def test_a_bad_key_of_a_conf_file_is_named_with_its_line() -> None:
    path = toml("# x\nheartbeat = often\n", "rabbitmq.conf")
    text = message(config_file=path)
    assert text == "rabbitmq.conf:2: heartbeat: found 'often', expected a whole number"


def test_a_password_is_never_printed() -> None:
    assert "12345" not in message(config_file=toml("default_pass = 12345"))
    assert "s3cret" not in repr(load({"default_pass": "s3cret"}))


def test_tls_needs_port_certificate_and_key() -> None:
    pem = toml("", "x.pem")
    assert message(tls_port="5671") == "tls_port needs tls_cert and tls_key"
    assert message(tls_cert=pem) == "tls_cert needs tls_port (5671 is the usual one)"
    assert load({"tls_port": "5671", "tls_cert": pem, "tls_key": pem}).tls_port == 5671


def test_an_unknown_variable_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AMQPBROKER_PROT", "1")
    load()
    assert "AMQPBROKER_PROT is set but is no setting of amqpbroker" in caplog.messages


def test_a_conf_file_is_read_by_its_suffix() -> None:
    assert read_file(toml("heartbeat = 30", "rabbitmq.conf")) == {"heartbeat_s": "30"}


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Config().port = 1


def test_mechanisms_are_those_that_there_are() -> None:
    # A1.6, A15.5
    assert load().auth_mechanisms == ("PLAIN", "AMQPLAIN")
    chosen = load({"auth_mechanisms": "SCRAM-SHA-512, PLAIN"}).auth_mechanisms
    assert chosen == ("SCRAM-SHA-512", "PLAIN")
    assert load({"auth_mechanisms": "GSSAPI"}).auth_mechanisms == ("GSSAPI",)
    assert "found 'NTLM'" in message(auth_mechanisms="PLAIN,NTLM")
    assert "at least 1" in message(auth_mechanisms="none")


def test_new_passwords_are_hashed_slowly_unless_rabbitmq_must_read_them() -> None:
    # A15.14
    assert load().password_hashing_module == "amqpbroker_password_hashing_scrypt"
    assert "rabbit_password_hashing_sha512" in message(password_hashing_module="md5")


@pytest.mark.parametrize("word", ["DEBUG", "debug"])
def test_the_log_level_has_no_case(word: str) -> None:
    assert load({"log_level": word}).log_level == "debug"


def test_every_setting_is_on_its_page() -> None:
    page = Path(__file__).parent.parent / "docs" / "configuration.md"
    rows = re.findall(r"^\| (`.*?) \|", page.read_text(encoding="utf-8"), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert Config.model_fields.keys() <= named


@pytest.mark.parametrize("page", sorted((REPO / "docs").glob("*.md")), ids=lambda path: path.name)
def test_the_settings_of_examples_are_settings(page: Path) -> None:
    for block in re.findall(r"^```toml\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S):
        assert tomllib.loads(block).keys() <= Config.model_fields.keys()


def test_every_row_of_the_threat_model_has_its_tests() -> None:
    text = (REPO / "docs" / "threat-model.md").read_text(encoding="utf-8")
    tables = text.partition("## Before login")[2].partition("## What is not covered")[0]
    rows = [line for line in tables.splitlines() if line.startswith("| ")]
    bounds = [row for row in rows if not row.startswith(("| ---", "| what "))]
    ids = [row.split("|")[3].strip() for row in bounds]
    assert len(set(ids)) == len(ids) > 30
    listed = text.partition("## Tests")[2].split("\n- **")[1:]
    assert [item.partition("**")[0] for item in listed] == ids
    for item in listed:
        source = ""
        for word in re.findall(r"`([^`]+)`", item):
            if "/" in word:
                source = (REPO / word).read_text(encoding="utf-8")
            else:
                assert f"def test_{word}(" in source, item
