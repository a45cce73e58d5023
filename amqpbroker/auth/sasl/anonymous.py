"""ANONYMOUS (RFC 4505): everybody is one configured user (RabbitMQ 4.0, FEATURES A15.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqpbroker.auth.sasl.mechanism import Identity

if TYPE_CHECKING:
    from amqpbroker.auth.sasl.mechanism import Context


def is_offered(context: Context) -> bool:
    """Return whether there is a user to be."""
    return context.settings.anonymous_login_user is not None


class Anonymous:
    """The trace information that a client may send is ignored."""

    def __init__(self, context: Context) -> None:
        self._username = context.settings.anonymous_login_user or ""

    def step(self, response: bytes) -> Identity:
        """Return the configured user; guest stays bound to loopback."""
        return Identity(self._username)
