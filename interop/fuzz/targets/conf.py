"""Configuration files, RabbitMQ's and TOML: settings come out, or one error that says where."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Final

from amqpbroker.config import ConfigError, load
from amqpbroker.rabbitmq_conf import CONVERTED, RENAMED

_KEYS: Final = "\n".join(f"{key} = 5" for key in (*RENAMED, *CONVERTED))
SEEDS: Final = [
    b"listeners.tcp.default = 127.0.0.1:5672\nlisteners.ssl.1 = [::1]:5671\n",
    b"# comment\nloopback_users.guest = false\nloopback_users = none\nheartbeat = 60 # s\n",
    b"default_pass = 'a#b'\nlog.console.level = debug\nauth_mechanisms.1 = PLAIN\n",
    b"handshake_timeout = 10000\nchannel_max = 0\nconsumer_timeout = 1\n",
    _KEYS.encode(),
    b'\xffport = 5672\nhost = "::"\nauth_mechanisms = ["PLAIN"]\n',
]
_FOLDER: Final = tempfile.TemporaryDirectory(prefix="amqpbroker-fuzz-")


def check(data: bytes) -> None:
    """Load the input as the format that its first byte chooses."""
    logging.disable()
    suffix = ".toml" if data[:1] == b"\xff" else ".conf"
    path = Path(_FOLDER.name) / f"rabbitmq{suffix}"
    path.write_bytes(data.removeprefix(b"\xff"))
    try:
        load({"config_file": path})
    except ConfigError:
        return
