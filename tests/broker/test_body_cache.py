"""What was read back: where the bodies are in it, and how much is kept."""

from __future__ import annotations

import pytest

from amqpbroker.broker.body_cache import Block, BodyCache
from amqpbroker.storage.log import Batch, Corrupt
from amqpbroker.storage.shard_record import EnqueueRecord, encode_enqueue, encode_settle


def enqueue(first: int, *bodies: bytes) -> bytes:
    """Return a record of messages."""
    size = len(bodies[0])
    record = EnqueueRecord(first, len(bodies), (1,), b"e", b"k", b"\0\0", size, b"".join(bodies), 5)
    return encode_enqueue(record)


def block(offset: int, *records: bytes) -> Block:
    return Block.of(Batch(offset, 1, 5, records))


def body(found: Block, sequence: int) -> bytes:
    row = found.row(sequence)
    assert row is not None
    start = row.start + (sequence - row.first) * row.body_size
    return row.data[start : start + row.body_size]


def test_bodies_are_found_by_sequence_in_whatever_order_they_lie() -> None:
    found = block(1, enqueue(8, b"88", b"99"), encode_settle(1, [4]), enqueue(3, b"3", b"4"))
    assert [body(found, sequence) for sequence in (3, 4, 8, 9)] == [b"3", b"4", b"88", b"99"]
    assert [found.row(sequence) for sequence in (2, 5, 7, 10)] == [None] * 4


def test_what_is_no_record_is_corrupt() -> None:
    with pytest.raises(Corrupt, match="batch 7: not a shard record"):
        block(7, b"\x01 what?")


def test_the_blocks_used_last_are_kept() -> None:
    blocks = [block(offset, enqueue(1, b"x")) for offset in range(4)]
    cache = BodyCache(3 * blocks[0].size)
    cache.keep(blocks[:3])
    assert cache.get(0) is blocks[0]
    cache.keep([blocks[3]])
    assert [offset in cache for offset in range(4)] == [True, True, False, True]
    assert (len(cache), cache.size) == (3, 3 * blocks[0].size)


def test_what_was_read_for_is_kept_however_little_room_there_is() -> None:
    blocks = [block(offset, enqueue(1, b"x")) for offset in range(4)]
    cache = BodyCache(0)
    cache.keep(blocks)
    assert [offset in cache for offset in range(4)] == [True, False, False, False]
    cache.keep(blocks[2:])
    assert [offset in cache for offset in range(4)] == [False, False, True, False]
    assert cache.size == blocks[0].size


def test_a_block_that_is_read_again_counts_once() -> None:
    first = block(1, enqueue(1, b"x"))
    cache = BodyCache(1000)
    cache.keep([first])
    cache.keep([first])
    assert (len(cache), cache.size) == (1, first.size)
    cache.clear()
    assert (len(cache), cache.size, cache.get(1)) == (0, 0, None)
