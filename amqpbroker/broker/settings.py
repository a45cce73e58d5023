"""What is in force for a queue: its arguments in the form that the broker works with.

One small object, so that a policy can replace it on a living queue (FEATURES A13.5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from amqpbroker.wire.table import Table

DROP_HEAD: Final = "drop-head"
REJECT_PUBLISH: Final = "reject-publish"
REJECT_PUBLISH_DLX: Final = "reject-publish-dlx"


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """Limits, times and dead-lettering of a queue; None where there is none (FEATURES A9)."""

    message_ttl_ms: int | None = None
    expires_ms: int | None = None
    max_length: int | None = None
    """Ready messages."""
    max_size: int | None = None
    """Bytes of their bodies (``x-max-length-bytes``)."""
    overflow: str = DROP_HEAD
    max_priority: int = 0
    dead_letter_exchange: str | None = None
    """The empty name is the default exchange and not the same as None (T26)."""
    dead_letter_routing_key: str | None = None

    @classmethod
    def of(cls, arguments: Table) -> QueueSettings:
        """Return the settings that (checked) arguments of queue.declare ask for."""
        values = {
            _FIELDS[name]: _python(field.value)
            for name, field in arguments.items()
            if name in _FIELDS
        }
        return cls(**values) if values else ORDINARY


def _python(value: Any) -> Any:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


_FIELDS: Final = {
    "x-message-ttl": "message_ttl_ms",
    "x-expires": "expires_ms",
    "x-max-length": "max_length",
    "x-max-length-bytes": "max_size",
    "x-overflow": "overflow",
    "x-max-priority": "max_priority",
    "x-dead-letter-exchange": "dead_letter_exchange",
    "x-dead-letter-routing-key": "dead_letter_routing_key",
}
ORDINARY: Final = QueueSettings()
"""Shared by all queues that ask for nothing."""
