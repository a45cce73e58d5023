"""Records of the shard log: any bytes are a record that encodes to the same bytes, or refused."""

from __future__ import annotations

import struct
from typing import Final

from amqpbroker.storage.shard_record import (
    BadRecord,
    EnqueueRecord,
    SettleRecord,
    bodies_in,
    decode,
    encode_enqueue,
    encode_return,
    encode_settle,
)

_RECORD: Final = EnqueueRecord(
    7, 2, (1, 9), b"x", b"key", bytes(2), 4, b"bodybody", 1_700_000_000_000
)
SEEDS: Final = [
    encode_enqueue(_RECORD),
    encode_enqueue(_RECORD._replace(is_transient=True, queue_ids=(), bodies=b"", body_size=0)),
    encode_settle(3, [1, 2, 3, 9, 11]),
    encode_return(3, 2, [1, 2, 9], 1_700_000_000_000, b"why"),
]
_KNOWN_FLAGS: Final = 1


def check(data: bytes) -> None:
    """Decode, and encode again."""
    try:
        record = decode(data)
    except BadRecord:
        return
    if isinstance(record, EnqueueRecord):
        assert len(record.body(record.first)) <= record.body_size
        known = data[:1] + bytes([data[1] & _KNOWN_FLAGS]) + data[2:]
        assert encode_enqueue(record) == known
        bodies = bodies_in(data)
        assert bodies is not None
        assert data[bodies.start :] == record.bodies
        return
    packed = b"".join(struct.pack(">QI", *pair) for pair in record.ranges)
    if isinstance(record, SettleRecord):
        head = struct.pack(">BII", 2, record.queue_id, len(record.ranges))
    else:
        past = record.delivery_count, record.due_ms, len(record.error), len(record.ranges)
        head = struct.pack(">BIIQII", 3, record.queue_id, *past) + record.error
    assert data == head + packed
