"""What a consumer of a stream asks for: where to begin, and which messages (FEATURES A11.5-A11.7).

The texts are RabbitMQ 3.10's. Where that one crashes on a malformed offset (541), we refuse it with
the text that it has for the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from amqpbroker.broker.arguments import age_ms, is_max_age
from amqpbroker.errors import not_implemented, precondition_failed
from amqpbroker.wire.erlang import format_binary
from amqpbroker.wire.properties import decode_properties
from amqpbroker.wire.table import KIND_NAMES

if TYPE_CHECKING:
    from amqpbroker.broker.channel import Channel
    from amqpbroker.wire.table import Field, Table

OFFSET: Final = "x-stream-offset"
FILTER: Final = "x-stream-filter"
FILTER_VALUE: Final = "x-stream-filter-value"
MATCH_UNFILTERED: Final = "x-stream-match-unfiltered"
_NAMED: Final = ("first", "last", "next")
_INTEGERS: Final = frozenset("bBsuIilL")
_REFUSED: Final = ("x-priority", "x-cancel-on-ha-failover", "x-ack-deadline")
_FILTER_VALUE_BYTES: Final = FILTER_VALUE.encode()


class Start(NamedTuple):
    """Where a consumer begins: at a name, an offset, or the first message of a time (Unix, ms)."""

    name: str = "next"
    """``first``, ``last`` (message) or ``next`` (to come), if the other two are None."""
    offset: int | None = None
    timestamp_ms: int | None = None


class Filter(NamedTuple):
    """Which messages a consumer wants. Exact: nothing else is delivered."""

    values: frozenset[bytes]
    match_unfiltered: bool
    """Those without a value too."""

    def matches(self, raw_properties: bytes) -> bool:
        """Return whether messages with these properties are wanted."""
        value = filter_value(raw_properties)
        return self.match_unfiltered if value is None else value in self.values


def filter_value(raw_properties: bytes) -> bytes | None:
    """Return what a publisher gave its messages to be filtered by, None if nothing (a string)."""
    if _FILTER_VALUE_BYTES not in raw_properties:
        return None
    field = decode_properties(raw_properties).get("headers", {}).get(FILTER_VALUE)
    return field.value if field is not None and field.kind == "S" else None


def check_consume(channel: Channel, table: Table, where: str, *, no_ack: bool) -> None:
    """Check in RabbitMQ's order what a new consumer of a stream asks for (FEATURES A8.16).

    Raises :class:`~amqpbroker.errors.AmqpError`: 406 for its arguments or a missing prefetch, 540
    for what streams do not do.
    """
    for name in _REFUSED:
        if name in table:
            raise precondition_failed(
                f"invalid arg '{name}' for {where} of queue type rabbit_stream_queue"
            )
    start_of(table, where, 0)
    if not channel.prefetch_count:
        raise precondition_failed(f"consumer prefetch count is not set for '{where}'")
    if no_ack:
        raise not_implemented(f"automatic acknowledgement not supported by stream queues {where}")
    if channel.prefetch_count_global:
        raise not_implemented(f"{where} does not support global qos")


def start_of(table: Table, where: str, now_ms: int) -> Start:
    """Return where a consumer is to begin; ``now_ms`` is what intervals count back from.

    Raises :class:`~amqpbroker.errors.SoftError` 406.
    """
    field = table.get(OFFSET)
    if field is None:
        return Start()
    kind, value = field
    if kind in _INTEGERS:
        return Start(offset=int(value))
    if kind == "T":
        return Start(timestamp_ms=value * 1000)
    if kind in ("S", "x"):
        text = value.decode("utf-8", "replace")
        if text in _NAMED:
            return Start(text)
        if kind == "S" and is_max_age(text):
            return Start(timestamp_ms=now_ms - age_ms(text))
    raise precondition_failed(
        f"invalid arg '{OFFSET}' for {where}: {{invalid_stream_offset_arg,{_term(field)}}}"
    )


def _term(field: Field) -> str:
    kind, value = field
    if isinstance(value, bytes):
        shown = format_binary(value)
    elif value is None:
        shown = "undefined"
    elif isinstance(value, bool):
        shown = str(value).lower()
    else:
        shown = "[]" if isinstance(value, tuple | list | dict) else str(value)
    return f"{{{KIND_NAMES[kind]},{shown}}}"


def filter_of(table: Table) -> Filter | None:
    """Return the filter of a consumer; what is no string in it is ignored, as on RabbitMQ."""
    field = table.get(FILTER)
    if field is None:
        return None
    if field.kind == "S":
        values = [field.value]
    elif field.kind == "A":
        values = [value for kind, value in field.value if kind == "S"]
    else:
        return None
    unfiltered = table.get(MATCH_UNFILTERED)
    match_unfiltered = unfiltered is not None and unfiltered.kind == "t" and unfiltered.value
    return Filter(frozenset(values), bool(match_unfiltered))
