"""The records of a shard log: bytes ↔ tuples.

Messages are numbered by one sequence per shard, from 1; a message keeps its number for life,
however often its record is written again. A run is a row of consecutively numbered messages that
share everything but their bodies, which are of one size::

    enqueue   ┌──────┬───────┬────────┬───────┬────────┬───────────┬─────────┬─────────┐
              │ 1    │ flags │ first  │ count │ queues │ body size │ raw     │ time    │
              │ u8   │ u8    │ u64    │ u32   │ u32    │ u32       │ u32     │ u64     │
              ├──────┴───────┴────────┴───┬───┴────────┴──┬────────┴─────────┴─────────┤
              │ queue ids  u32 * queues   │ exchange, key │ raw properties             │
              ├───────────────────────────┴───────────────┴────────────────────────────┤
              │ bodies  count * body size                                              │
              └────────────────────────────────────────────────────────────────────────┘
    settle    ┌──────┬──────────┬────────┬─────────────────────────────┐
              │ 2    │ queue id │ ranges │ (first u64, count u32) * …  │
              │ u8   │ u32      │ u32    │                             │
              └──────┴──────────┴────────┴─────────────────────────────┘
    return    ┌──────┬──────────┬────────┬────────┬────────────┬────────┬────────────┐
              │ 3    │ queue id │ count  │ due    │ error size │ ranges │ error      │
              │ u8   │ u32      │ u32    │ u64    │ u32        │ u32    │            │
              ├──────┴──────────┴────────┴────────┴────────────┴────────┴────────────┤
              │ (first u64, count u32) * ranges                                      │
              └──────────────────────────────────────────────────────────────────────┘

A return says how often messages have been delivered in vain, until when they wait (ms since 1970, 0
if they do not), and why they failed, if somebody said so: the last one counts.
Exchange and key are short strings, the time is milliseconds since 1970 when the messages came: a
time to live counts from there. Flag 1: the message is transient and was only spilled to save
memory; recovery ignores it. All integers are big-endian.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ENQUEUE: Final = 1
SETTLE: Final = 2
RETURN: Final = 3
TRANSIENT: Final = 1
_ENQUEUE: Final = struct.Struct(">BBQIIIIQ")
_SETTLE: Final = struct.Struct(">BII")
_RETURN: Final = struct.Struct(">BIIQII")
_RANGE: Final = struct.Struct(">QI")


class BadRecord(Exception):
    """Not a record of a shard log: written by something else, or by a later version."""


class EnqueueRecord(NamedTuple):
    """Messages that entered queues. ``bodies`` is a view of them all, back to back."""

    first: int
    message_count: int
    queue_ids: tuple[int, ...]
    exchange: bytes
    routing_key: bytes
    raw_properties: bytes
    body_size: int
    bodies: bytes
    timestamp_ms: int
    is_transient: bool = False

    def body(self, sequence: int) -> bytes:
        """Return the body of one message."""
        start = (sequence - self.first) * self.body_size
        return self.bodies[start : start + self.body_size]


class Bodies(NamedTuple):
    """Where the bodies of the messages ``first`` ≤ sequence < ``end`` lie in a record."""

    first: int
    end: int
    body_size: int
    start: int
    """Position in ``data`` of the first."""
    data: bytes


class SettleRecord(NamedTuple):
    """Messages that left a queue for good."""

    queue_id: int
    ranges: Sequence[tuple[int, int]]
    """(first sequence, count)."""


class ReturnRecord(NamedTuple):
    """Messages that came back to a queue, all with the same past."""

    queue_id: int
    delivery_count: int
    ranges: Sequence[tuple[int, int]]
    """(first sequence, count)."""
    due_ms: int = 0
    error: bytes = b""


ShardRecord: TypeAlias = EnqueueRecord | SettleRecord | ReturnRecord


def encode_enqueue(record: EnqueueRecord) -> bytes:
    """Return the bytes of an enqueue."""
    queue_ids = record.queue_ids
    head = _ENQUEUE.pack(
        ENQUEUE,
        TRANSIENT if record.is_transient else 0,
        record.first,
        record.message_count,
        len(queue_ids),
        record.body_size,
        len(record.raw_properties),
        record.timestamp_ms,
    )
    return b"%b%b%c%b%c%b%b%b" % (
        head,
        struct.pack(f">{len(queue_ids)}I", *queue_ids),
        len(record.exchange),
        record.exchange,
        len(record.routing_key),
        record.routing_key,
        record.raw_properties,
        record.bodies,
    )


def encode_settle(queue_id: int, sequences: Iterable[int]) -> bytes:
    """Return the bytes of a settle; sequences in any order, each once."""
    ranges = ranges_of(sorted(sequences))
    return _SETTLE.pack(SETTLE, queue_id, len(ranges)) + _packed(ranges)


def encode_return(
    queue_id: int,
    delivery_count: int,
    sequences: Iterable[int],
    due_ms: int = 0,
    error: bytes = b"",
) -> bytes:
    """Return the bytes of a return; sequences in any order, each once."""
    ranges = ranges_of(sorted(sequences))
    head = _RETURN.pack(RETURN, queue_id, delivery_count, due_ms, len(error), len(ranges))
    return head + error + _packed(ranges)


def _packed(ranges: Iterable[tuple[int, int]]) -> bytes:
    return b"".join(_RANGE.pack(first, count) for first, count in ranges)


def ranges_of(sequences: Sequence[int]) -> list[tuple[int, int]]:
    """Return ascending numbers as (first, count)."""
    ranges: list[tuple[int, int]] = []
    start = 0
    for index in range(1, len(sequences) + 1):
        if index == len(sequences) or sequences[index] != sequences[index - 1] + 1:
            ranges.append((sequences[start], index - start))
            start = index
    return ranges


def decode(data: bytes) -> ShardRecord:
    """Decode a record.

    Raises :class:`BadRecord`.
    """
    try:
        if data[0] == ENQUEUE:
            return _decode_enqueue(data)
        if data[0] == SETTLE:
            return _decode_settle(data)
        if data[0] == RETURN:
            return _decode_return(data)
    except (struct.error, IndexError):
        pass
    raise BadRecord(f"not a shard record: {data[:16].hex()}")


def bodies_in(data: bytes) -> Bodies | None:
    """Return where the bodies lie in an enqueue, None for another record; nothing is copied.

    Raises :class:`BadRecord`.
    """
    try:
        if data[0] != ENQUEUE:
            return None
        _, _, first, count, queue_count, body_size, raw_size, _ = _ENQUEUE.unpack_from(data)
        pos = _ENQUEUE.size + 4 * queue_count
        pos += 1 + data[pos]
        pos += 1 + data[pos] + raw_size
    except (struct.error, IndexError):
        pos = -1
    if pos < 0 or pos + count * body_size != len(data):
        raise BadRecord(f"not a shard record: {data[:16].hex()}")
    return Bodies(first, first + count, body_size, pos, data)


def _decode_enqueue(data: bytes) -> EnqueueRecord:
    head = _ENQUEUE.unpack_from(data)
    _, flags, first, count, queue_count, body_size, raw_size, timestamp_ms = head
    pos = _ENQUEUE.size + 4 * queue_count
    queue_ids = struct.unpack_from(f">{queue_count}I", data, _ENQUEUE.size)
    exchange = data[pos + 1 : pos + 1 + data[pos]]
    pos += 1 + data[pos]
    routing_key = data[pos + 1 : pos + 1 + data[pos]]
    pos += 1 + data[pos]
    raw = data[pos : pos + raw_size]
    bodies = data[pos + raw_size :]
    if pos + raw_size + count * body_size != len(data):
        raise IndexError
    return EnqueueRecord(
        first,
        count,
        queue_ids,
        exchange,
        routing_key,
        raw,
        body_size,
        bodies,
        timestamp_ms,
        bool(flags & TRANSIENT),
    )


def _decode_settle(data: bytes) -> SettleRecord:
    _, queue_id, count = _SETTLE.unpack_from(data)
    if len(data) != _SETTLE.size + count * _RANGE.size:
        raise IndexError
    return SettleRecord(queue_id, list(_RANGE.iter_unpack(data[_SETTLE.size :])))


def _decode_return(data: bytes) -> ReturnRecord:
    _, queue_id, delivery_count, due_ms, error_size, count = _RETURN.unpack_from(data)
    start = _RETURN.size + error_size
    if len(data) != start + count * _RANGE.size:
        raise IndexError
    ranges = list(_RANGE.iter_unpack(data[start:]))
    error = bytes(data[_RETURN.size : start])
    return ReturnRecord(queue_id, delivery_count, ranges, due_ms, error)
