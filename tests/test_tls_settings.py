"""Settings of TLS: complete, spelled as here or as in rabbitmq.conf, and the password unseen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from amqpbroker.config import Config, ConfigError, load

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    names = {f"tls_{name}": tmp_path / f"{name}.pem" for name in ("cert", "key", "ca")}
    for path in names.values():
        path.touch()
    return dict(names)


def test_there_is_none_by_default() -> None:
    assert not Config(is_memory=True).has_tls


@pytest.mark.parametrize("port", ["tls_port", "management_tls_port"])
def test_a_port_needs_a_certificate(files: dict[str, Any], port: str) -> None:
    assert load({port: 0, **files}).has_tls
    with pytest.raises(ConfigError, match=f"{port} needs tls_cert and tls_key"):
        load({port: 0})


def test_a_required_certificate_needs_an_authority(files: dict[str, Any]) -> None:
    del files["tls_ca"]
    with pytest.raises(ConfigError, match="tls_requires_client_cert needs tls_ca"):
        load({"tls_port": 0, "tls_requires_client_cert": True, **files})


@pytest.mark.parametrize("versions", ["tlsv1.3", ["TLSv1.3"], "TLSv1.3"])
def test_versions_are_spelled_in_either_way(versions: object) -> None:
    assert load({"tls_versions": versions}).tls_versions == ("TLSv1.3",)


@pytest.mark.parametrize("versions", ["TLSv1.1", "none", []])
def test_no_other_version_is_spoken(versions: object) -> None:
    with pytest.raises(ConfigError, match="tls-versions"):
        load({"tls_versions": versions})


def test_a_file_of_rabbitmqs_is_understood(tmp_path: Path) -> None:
    path = tmp_path / "rabbitmq.conf"
    lines = ["versions.1 = tlsv1.3", "versions.2 = tlsv1.2", "ciphers.1 = A", "ciphers.2 = B"]
    lines += ["password = secret", "depth = 2"]
    path.write_text("".join(f"ssl_options.{line}\n" for line in lines))
    config = load({"config_file": path})
    assert config.tls_versions == ("TLSv1.3", "TLSv1.2")
    assert (config.tls_ciphers, config.tls_verify_depth) == ("A:B", 2)
    assert config.tls_key_password == "secret"
    assert "secret" not in repr(config)
