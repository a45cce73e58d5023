"""What is in force for a queue: arguments and policies in the form that the broker works with.

One small object, so that a policy can replace it on a living queue (FEATURES A13.5). Where both say
something, the lower number and the argument's text are in force (A13.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from amqpbroker.broker.arguments import EXPIRY_MS_MAX, age_ms, real_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amqpbroker.wire.table import Table

DROP_HEAD: Final = "drop-head"
REJECT_PUBLISH: Final = "reject-publish"
REJECT_PUBLISH_DLX: Final = "reject-publish-dlx"
FAILED: Final = "failed"
RETRY_DELIVERY_LIMIT: Final = 20
"""Of queues that retry and say nothing else, as on LavinMQ and on quorum queues of RabbitMQ 4."""
AT_MOST_ONCE: Final = "at-most-once"
AT_LEAST_ONCE: Final = "at-least-once"


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
    max_age_ms: int | None = None
    """Of a stream's segments."""
    segment_size: int | None = None
    """Bytes of a stream's segments."""
    dead_letter_exchange: str | None = None
    """The empty name is the default exchange and not the same as None (T26)."""
    dead_letter_routing_key: str | None = None
    message_groups: bool = False
    """Whether of each group one message at a time is out (FEATURES N5)."""
    sticky_groups: bool = False
    """Whether all messages of a group go to one consumer while it is there."""
    partitions: int = 1
    """Each is served to one consumer at a time, if there are several (DESIGN section 5)."""
    ack_deadline_ms: int | None = None
    """After which an unsettled delivery comes back (FEATURES N4)."""
    consumer_timeout_ms: int | None = None
    """After which an unsettled delivery costs its channel (A9.17)."""
    dead_letter_strategy: str = AT_MOST_ONCE
    delivery_limit: int | None = None
    """How often a message may come back to a quorum queue, or to one that retries."""
    retry_min_ms: int | None = None
    """How long a message waits that has failed once; None if it does not (FEATURES N7)."""
    retry_max_ms: int = EXPIRY_MS_MAX
    retry_multiplier: float | None = None
    """By what the time grows with each failure; None: as often as it has failed."""
    retry_jitter: float = 0.0
    """The share of the time that is left to chance."""
    retry_type: str = FAILED
    """What waits: what was given back, what was lost, or both."""

    @property
    def is_safe(self) -> bool:
        """Whether dead letters must arrive; what drops its head has no use for it (A10.10)."""
        return (
            self.dead_letter_strategy == AT_LEAST_ONCE
            and self.overflow == REJECT_PUBLISH
            and self.dead_letter_exchange is not None
        )

    @classmethod
    def of(cls, arguments: Table, definition: Mapping[str, Any] | None = None) -> QueueSettings:
        """Return the settings that (checked) arguments of queue.declare and policies ask for."""
        values = {
            _FIELDS[name]: _python(name, field.value)
            for name, field in arguments.items()
            if name in _FIELDS
        }
        for name in _REALS & arguments.keys():
            values[_FIELDS[name]] = real_of(arguments[name])
        if values.get("delivery_limit", 0) < 0:
            del values["delivery_limit"]  # no limit, as on RabbitMQ 4
        if definition:
            for key, value in definition.items():
                if key in _NUMBERS:
                    value = age_ms(value) if key == "max-age" else value
                    lower = min(value, _MAXIMA.get(key, value))
                    values[_NUMBERS[key]] = min(lower, values.get(_NUMBERS[key], lower))
                elif key in _TEXTS:
                    values.setdefault(_TEXTS[key], value)
        if "retry_min_ms" in values and "x-delivery-limit" not in arguments:
            values.setdefault("delivery_limit", RETRY_DELIVERY_LIMIT)
        return cls(**values) if values else ORDINARY


def _python(name: str, value: Any) -> Any:
    if name == "x-max-age":
        return age_ms(value.decode())
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


_FIELDS: Final = {
    "x-message-ttl": "message_ttl_ms",
    "x-expires": "expires_ms",
    "x-max-length": "max_length",
    "x-max-length-bytes": "max_size",
    "x-overflow": "overflow",
    "x-max-priority": "max_priority",
    "x-max-age": "max_age_ms",
    "x-stream-max-segment-size-bytes": "segment_size",
    "x-dead-letter-exchange": "dead_letter_exchange",
    "x-dead-letter-routing-key": "dead_letter_routing_key",
    "x-message-groups": "message_groups",
    "x-sticky-groups": "sticky_groups",
    "x-partitions": "partitions",
    "x-ack-deadline": "ack_deadline_ms",
    "x-consumer-timeout": "consumer_timeout_ms",
    "x-dead-letter-strategy": "dead_letter_strategy",
    "x-delivery-limit": "delivery_limit",
    "x-delayed-retry-min": "retry_min_ms",
    "x-delayed-retry-max": "retry_max_ms",
    "x-delayed-retry-multiplier": "retry_multiplier",
    "x-delayed-retry-jitter": "retry_jitter",
    "x-delayed-retry-type": "retry_type",
}
_REALS: Final = {"x-delayed-retry-multiplier", "x-delayed-retry-jitter"}
_NUMBERS: Final = {
    "message-ttl": "message_ttl_ms",
    "expires": "expires_ms",
    "max-length": "max_length",
    "max-length-bytes": "max_size",
    "ack-deadline": "ack_deadline_ms",
    "consumer-timeout": "consumer_timeout_ms",
    "delayed-retry-min": "retry_min_ms",
    "delayed-retry-max": "retry_max_ms",
    "delayed-retry-multiplier": "retry_multiplier",
    "delivery-limit": "delivery_limit",
    "max-age": "max_age_ms",
    "stream-max-segment-size-bytes": "segment_size",
}
"""Keys of policies: the lower number is in force."""
_TEXTS: Final = {
    "overflow": "overflow",
    "dead-letter-exchange": "dead_letter_exchange",
    "dead-letter-routing-key": "dead_letter_routing_key",
    "dead-letter-strategy": "dead_letter_strategy",
    "delayed-retry-type": "retry_type",
}
"""Keys of policies: an argument is in force instead."""
_MAXIMA: Final = dict.fromkeys(
    ("message-ttl", "expires", "ack-deadline", "consumer-timeout"), EXPIRY_MS_MAX
)
"""Policies may name any time; nobody sees the end of a longer one."""
ORDINARY: Final = QueueSettings()
"""Shared by all queues that ask for nothing."""
