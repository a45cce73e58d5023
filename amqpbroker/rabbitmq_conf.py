"""Reads the common keys of RabbitMQ's ``rabbitmq.conf``.

The format is ``key = value``, one a line, ``#`` starts a comment, and a value may stand in single
quotes (RabbitMQ's configuration guide). A key that we do not read is a warning that names its line,
never a silent loss. Where RabbitMQ's unit differs from ours the value is converted here; whether
it makes sense is checked by ``Config`` as for every other source.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from amqpbroker.rabbitmq_conf_auth import AuthKeys

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

ANY_ADDRESS: Final = "0.0.0.0"
"""RabbitMQ listens on every address when a listener names only a port."""

LINE: Final = re.compile(r"^\s*(?P<key>[^\s=#]+)\s*=\s*(?P<value>'[^']*'|[^#]*?)\s*(?:#.*)?$")
LISTENER: Final = re.compile(r"^(?:\[?(?P<host>[^\]\s]+?)\]?:)?(?P<port>[0-9]{1,5})$")
IMPORT_BACKENDS: Final = ("local_filesystem", "https")
"""Which one it is, the path or the URL says."""
LOG_LEVELS: Final = {
    "notice": "info",
    "alert": "critical",
    "emergency": "critical",
    "none": "critical",
}


class ConfError(Exception):
    """A line that cannot be read, or a setting that we must not ignore."""


class Setting(NamedTuple):
    """A field's value and where it stands."""

    line: int
    key: str
    value: Any


@dataclass
class Conf:
    """What was read from one file."""

    path: str
    settings: dict[str, Setting] = field(default_factory=dict)
    auth_keys: AuthKeys = field(default_factory=AuthKeys)

    @property
    def values(self) -> dict[str, Any]:
        """The values by field name of ``Config``."""
        return {name: setting.value for name, setting in self.settings.items()}

    def place(self, name: str) -> str:
        """Return ``file:line: key`` of a field, as RabbitMQ calls it."""
        setting = self.settings.get(name)
        return self.path if setting is None else f"{self.path}:{setting.line}: {setting.key}"


def read(text: str, path: str) -> Conf:
    """Return the settings in ``text``; ``path`` is for messages.

    Raises ConfError on a line that is not ``key = value``. The last of two equal keys wins.
    """
    conf = Conf(path)
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = LINE.match(line)
        if match is None:
            raise ConfError(f"{path}:{number}: found {line.strip()!r}, expected 'key = value'")
        _take(conf, number, match["key"].replace("\\.", "."), match["value"].strip("'"))
    return conf


def _take(conf: Conf, line: int, key: str, value: str) -> None:
    if key in RENAMED:
        conf.settings[RENAMED[key]] = Setting(line, key, value)
    elif key in CONVERTED:
        name, convert = CONVERTED[key]
        try:
            conf.settings[name] = Setting(line, key, convert(value))
        except (ValueError, OverflowError):
            conf.settings[name] = Setting(line, key, value)  # Config says what is wrong with it
    elif key.startswith(("listeners.tcp", "listeners.ssl")):
        _take_listener(conf, line, key, value)
    elif key.rpartition(".")[0] in LISTED:
        name = LISTED[key.rpartition(".")[0]]
        known = conf.settings.get(name)
        names = [*(known.value if known is not None else ()), value]
        conf.settings[name] = Setting(line, key, names)
    elif key == "definitions.import_backend":
        if value not in IMPORT_BACKENDS:
            expected = " or ".join(IMPORT_BACKENDS)
            raise ConfError(f"{conf.path}:{line}: {key}: found {value!r}, expected {expected}")
    elif key.startswith("loopback_users"):
        _take_loopback_users(conf, line, key, value)
    elif (found := conf.auth_keys.take(key, value)) is not None:
        conf.settings[found[0]] = Setting(line, key, found[1])
    else:
        logger.warning("%s:%d: %s is not read by amqpbroker", conf.path, line, key)


def _take_listener(conf: Conf, line: int, key: str, value: str) -> None:
    """Read ``listeners.{tcp,ssl}.NAME = [ADDRESS:]PORT``; we have one of each."""
    is_tls = key.startswith("listeners.ssl")
    name = "tls_port" if is_tls else "port"
    match = LISTENER.match(value)
    if is_tls and key == "listeners.ssl" and value == "none":
        return
    if key == "listeners.tcp":
        raise ConfError(
            f"{conf.path}:{line}: {key}: a broker without this listener is not supported"
        )
    if match is None:
        raise ConfError(
            f"{conf.path}:{line}: {key}: found {value!r}, expected PORT or ADDRESS:PORT"
        )
    if name in conf.settings and conf.settings[name].key != key:
        first = conf.settings[name]
        logger.warning(
            "%s:%d: %s is not read: there is one listener, line %d",
            conf.path,
            line,
            key,
            first.line,
        )
        return
    conf.settings[name] = Setting(line, key, int(match["port"]))
    host = match["host"] or ANY_ADDRESS
    if not is_tls or "host" not in conf.settings:
        conf.settings["host"] = Setting(line, key, host)
    elif conf.settings["host"].value != host:
        logger.warning(
            "%s:%d: %s: the address is that of the first listener, %s",
            conf.path,
            line,
            key,
            conf.settings["host"].value,
        )


def _take_loopback_users(conf: Conf, line: int, key: str, value: str) -> None:
    """Read ``loopback_users = none`` and ``loopback_users.USER = true|false``."""
    known = conf.settings.get("loopback_users")
    users = frozenset({"guest"}) if known is None else known.value
    user = key.removeprefix("loopback_users").removeprefix(".")
    if not user and value == "none":
        users = frozenset()
    elif user and value in ("true", "false"):
        users = users | {user} if value == "true" else users - {user}
    else:
        expected = "true or false" if user else "none"
        raise ConfError(f"{conf.path}:{line}: {key}: found {value!r}, expected {expected}")
    conf.settings["loopback_users"] = Setting(line, key, users)


def _milliseconds(value: str) -> float:
    return int(value) / 1000


def _channel_max(value: str) -> int:
    return int(value) or 65535  # 0 is "no limit", which the frame header makes 65535


def _count_or_infinity(value: str) -> int | None:
    return None if value == "infinity" else int(value)


def _is_verified(value: str) -> object:
    return {"verify_peer": True, "verify_none": False}.get(value, value)


def _log_level(value: str) -> str:
    return LOG_LEVELS.get(value, value)


RENAMED: Final = {
    "default_user": "default_user",
    "default_pass": "default_pass",
    "default_vhost": "default_vhost",
    "default_queue_type": "default_queue_type",
    "password_hashing_module": "password_hashing_module",
    "anonymous_login_user": "anonymous_login_user",
    "ssl_cert_login_from": "ssl_cert_login_from",
    "ssl_cert_login_san_type": "ssl_cert_login_san_type",
    "ssl_cert_login_san_index": "ssl_cert_login_san_index",
    "heartbeat": "heartbeat_s",
    "proxy_protocol": "proxy_protocol",
    "frame_max": "frame_max",
    "initial_frame_max": "initial_frame_max",
    "max_message_size": "message_size_max",
    "cluster_name": "cluster_name",
    "management.tcp.port": "management_port",
    "management.tcp.ip": "management_host",
    "ssl_options.certfile": "tls_cert",
    "ssl_options.keyfile": "tls_key",
    "ssl_options.cacertfile": "tls_ca",
    "ssl_options.password": "tls_key_password",
    "ssl_options.depth": "tls_verify_depth",
    "ssl_options.fail_if_no_peer_cert": "tls_requires_client_cert",
    "management.ssl.port": "management_tls_port",
    "load_definitions": "definitions",
    "definitions.local.path": "definitions",
    "definitions.https.url": "definitions_url",
    "definitions.tls.cacertfile": "definitions_tls_ca",
    "definitions.tls.certfile": "definitions_tls_cert",
    "definitions.tls.keyfile": "definitions_tls_key",
    "definitions.skip_if_unchanged": "definitions_skip_if_unchanged",
}
LISTED: Final = {
    "auth_mechanisms": "auth_mechanisms",
    "ssl_options.versions": "tls_versions",
    "ssl_options.ciphers": "tls_ciphers",
}
"""Keys with a number or a name behind them, one line for each item."""
CONVERTED: Final[dict[str, tuple[str, Callable[[str], object]]]] = {
    "channel_max": ("channel_max", _channel_max),
    "handshake_timeout": ("handshake_timeout_s", _milliseconds),
    "consumer_timeout": ("consumer_timeout_s", _milliseconds),
    "connection_max": ("connection_max", _count_or_infinity),
    "channel_max_per_node": ("channel_max_per_node", int),
    "consumer_max_per_channel": ("consumer_max_per_channel", int),
    "log.console.level": ("log_level", _log_level),
    "definitions.tls.verify": ("definitions_tls_verify", _is_verified),
}
