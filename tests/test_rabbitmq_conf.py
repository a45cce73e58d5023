"""Reading rabbitmq.conf: the common keys are used, no other is lost in silence."""

from __future__ import annotations

import pytest

from amqpbroker.rabbitmq_conf import ConfError, read


def values(text: str) -> dict[str, object]:
    return read(text, "rabbitmq.conf").values


def test_comments_blank_lines_and_quotes() -> None:
    text = "# all\n\n  heartbeat=30   ## often\ndefault_pass = 'a # b'\n"
    assert values(text) == {"heartbeat_s": "30", "default_pass": "a # b"}


@pytest.mark.parametrize(
    ("line", "host", "port"),
    [
        ("listeners.tcp.default = 5673", "0.0.0.0", 5673),
        ("listeners.tcp.1 = 127.0.0.1:5674", "127.0.0.1", 5674),
        ("listeners.tcp.local = [::1]:5674", "::1", 5674),
        ("listeners.tcp.1 = :::5672", "::", 5672),
    ],
)
def test_a_listener_is_a_port_or_address_and_port(line: str, host: str, port: int) -> None:
    assert values(line) == {"host": host, "port": port}


def test_the_second_listener_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    text = "listeners.tcp.1 = 127.0.0.1:1\nlisteners.tcp.2 = 127.0.0.1:2"
    assert values(text)["port"] == 1
    assert "rabbitmq.conf:2: listeners.tcp.2" in caplog.messages[0]


def test_tls_listener_and_files() -> None:
    text = """
        listeners.tcp.default = 5672
        listeners.ssl.default = 5671
        ssl_options.certfile = /c.pem
        ssl_options.keyfile = /k.pem
        ssl_options.cacertfile = /ca.pem
    """
    read_values = values(text)
    assert read_values["tls_port"] == 5671
    assert [read_values[f"tls_{name}"] for name in ("cert", "key", "ca")] == [
        "/c.pem",
        "/k.pem",
        "/ca.pem",
    ]


def test_a_tls_listener_on_another_address_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    values("listeners.tcp.1 = 127.0.0.1:1\nlisteners.ssl.1 = 10.0.0.1:2")
    assert "line" not in caplog.messages[0]
    assert "127.0.0.1" in caplog.messages[0]


@pytest.mark.parametrize(
    ("text", "users"),
    [
        ("loopback_users = none", set()),
        ("loopback_users.guest = false", set()),
        ("loopback_users.admin = true", {"guest", "admin"}),
    ],
)
def test_loopback_users(text: str, users: set[str]) -> None:
    assert values(text) == {"loopback_users": users}


def test_units_and_special_values_are_converted() -> None:
    text = "handshake_timeout = 2500\nchannel_max = 0\nlog.console.level = notice"
    assert values(text) == {"handshake_timeout_s": 2.5, "channel_max": 65535, "log_level": "info"}


def test_management_address_and_user() -> None:
    text = "management.tcp.port = 1\nmanagement.tcp.ip = ::1\ndefault_user = u\ndefault_vhost = v"
    assert values(text) == {
        "management_port": "1",
        "management_host": "::1",
        "default_user": "u",
        "default_vhost": "v",
    }


def test_an_unknown_key_is_a_warning_with_its_line(caplog: pytest.LogCaptureFixture) -> None:
    assert values("\nvm_memory_high_watermark.relative = 0.6") == {}
    assert caplog.messages == [
        "rabbitmq.conf:2: vm_memory_high_watermark.relative is not read by amqpbroker"
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("heartbeat 30", "rabbitmq.conf:1: found 'heartbeat 30', expected 'key = value'"),
        ("listeners.tcp.1 = here", "expected PORT or ADDRESS:PORT"),
        ("listeners.tcp = none", "a broker without this listener is not supported"),
        ("loopback_users.guest = 1", "found '1', expected true or false"),
        ("loopback_users = all", "found 'all', expected none"),
    ],
)
def test_what_cannot_be_read_is_an_error(text: str, expected: str) -> None:
    with pytest.raises(ConfError, match=r"rabbitmq\.conf:1") as caught:
        read(text, "rabbitmq.conf")
    assert expected in str(caught.value)


def test_the_place_of_a_field_is_rabbitmqs_own_name() -> None:
    conf = read("\nheartbeat = x", "rabbitmq.conf")
    assert conf.place("heartbeat_s") == "rabbitmq.conf:2: heartbeat"
    assert conf.place("port") == "rabbitmq.conf"


@pytest.mark.parametrize("digits", ["²", "9" * 400, "9" * 5000])
def test_numbers_that_are_none_or_beyond_all_bounds_are_left_to_config(digits: str) -> None:
    assert values(f"handshake_timeout = {digits}") == {"handshake_timeout_s": digits}
    with pytest.raises(ConfError, match="expected PORT or ADDRESS:PORT"):
        values(f"listeners.tcp.1 = {digits}")


def test_a_value_that_cannot_be_converted_is_left_to_config() -> None:
    assert values("channel_max = many") == {"channel_max": "many"}


def test_mechanisms_keep_their_order() -> None:
    text = "auth_mechanisms.1 = SCRAM-SHA-256\nauth_mechanisms.2 = PLAIN"
    assert values(text) == {"auth_mechanisms": ["SCRAM-SHA-256", "PLAIN"]}


def test_the_hash_of_new_passwords_has_rabbitmqs_name() -> None:
    text = "password_hashing_module = rabbit_password_hashing_sha512"
    assert values(text) == {"password_hashing_module": "rabbit_password_hashing_sha512"}


def test_where_definitions_come_from() -> None:
    # A14.6
    text = "definitions.import_backend = https\ndefinitions.https.url = https://h/d.json\n"
    text += "definitions.tls.verify = verify_none\ndefinitions.skip_if_unchanged = true"
    assert values(text) == {
        "definitions_url": "https://h/d.json",
        "definitions_tls_verify": False,
        "definitions_skip_if_unchanged": "true",
    }
    with pytest.raises(ConfError, match="expected local_filesystem or https"):
        read("definitions.import_backend = git", "rabbitmq.conf")
