"""Names that the broker makes up, and names that it keeps for itself."""

from __future__ import annotations

import base64
import secrets
from typing import Final

from amqpbroker.errors import access_refused

RESERVED_PREFIX: Final = "amq."
REPLY_TO: Final = "amq.rabbitmq.reply-to"
REPLY_TO_PREFIX: Final = REPLY_TO + "."
DELAY: Final = "x-delay"
DELIVER_AT: Final = "x-deliver-at"
"""Headers of delayed messages (N2)."""


def generate(prefix: str) -> str:
    """Return a new name: ``amq.gen-`` and 22 characters that nobody can guess (FEATURES A4.3)."""
    token = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode("ascii").rstrip("=")
    return f"{prefix}-{token}"


def strip_line_ends(name: str) -> str:
    """Return a name as RabbitMQ stores it: without CR and LF (FEATURES A3.4)."""
    if "\r" in name or "\n" in name:
        return name.replace("\r", "").replace("\n", "")
    return name


def check_new(kind: str, name: str) -> None:
    """Refuse to create something under a reserved name.

    Raises :class:`~amqpbroker.errors.SoftError` 403.
    """
    if name.startswith(RESERVED_PREFIX):
        raise access_refused(f"{kind} name '{name}' contains reserved prefix 'amq.*'")


def described(kind: str, name: str, vhost: str) -> str:
    """Return how error texts name a resource: ``queue 'q' in vhost '/'``."""
    return f"{kind} '{name}' in vhost '{vhost}'"
