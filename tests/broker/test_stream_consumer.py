"""The place of a consumer in a stream (FEATURES A11.5, A11.6)."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from amqpbroker.broker.queue_types import create_queue
from amqpbroker.broker.stream_consumer import StreamConsumer
from amqpbroker.broker.stream_queue import StreamQueue
from amqpbroker.storage.partition import Piece, end_of
from amqpbroker.storage.shard_record import EnqueueRecord
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.table import Field
from tests.broker.client import connect, make_broker

if TYPE_CHECKING:
    from amqpbroker.wire.table import Table


def make_consumer(**arguments: Field) -> StreamConsumer:
    broker = make_broker()
    client = connect(broker, 1)
    named: Table = {"x-queue-type": Field("S", b"stream")}
    queue = create_queue("s", is_durable=True, is_auto_delete=False, arguments=named)
    assert isinstance(queue, StreamQueue)
    channel = client.session.channels[1]
    channel.prefetch_count = 10
    table = {"x-stream-" + name.replace("_", "-"): field for name, field in arguments.items()}
    return StreamConsumer(channel, queue, "tag", is_exclusive=False, arguments=table)


def record(first: int, count: int, value: bytes | None = None) -> EnqueueRecord:
    headers = {} if value is None else {"x-stream-filter-value": Field("S", value)}
    raw = encode_properties({"headers": headers})
    return EnqueueRecord(first, count, (), b"", b"", raw, 1, b"x" * count, 1)


def offsets(consumer: StreamConsumer) -> list[int]:
    """Return what a consumer would get of its chunk."""
    return [
        offset
        for item in consumer.chunk
        for offset in range(max(item.first, consumer.next_offset), end_of(item))
    ]


@pytest.mark.parametrize(
    ("offset", "next_offset", "loaded_to"), [(0, 5, 5), (7, 7, 7), (20, 20, 12), (-1, 5, 5)]
)
def test_a_beginning_is_within_what_is_there_or_to_come(
    offset: int, next_offset: int, loaded_to: int
) -> None:
    consumer = make_consumer()
    consumer.begin(offset, 5, 12)
    assert (consumer.next_offset, consumer.loaded_to) == (next_offset, loaded_to)


@pytest.mark.parametrize("seed", range(20))
def test_what_is_loaded_twice_or_in_overlapping_pieces_comes_once(seed: int) -> None:
    rng = random.Random(seed)
    pieces, first = [], 0
    for batch in range(20):
        records = []
        for _ in range(rng.randrange(1, 4)):
            records.append(record(first, rng.randrange(1, 4), rng.choice([b"a", b"b", None])))
            first = end_of(records[-1])
        pieces.append(Piece(batch, records))
    wanted = rng.choice([None, b"a"])
    arguments = {} if wanted is None else {"filter": Field("S", wanted)}
    consumer = make_consumer(**arguments)
    start = rng.randrange(first)
    consumer.begin(start, 0, first)
    place = 0
    while place < len(pieces):
        consumer.load(pieces[place])
        place = max(0, place - rng.randrange(3)) if rng.random() < 0.3 else place + 1
    matching = [
        offset
        for piece in pieces
        for item in piece.records
        for offset in range(item.first, end_of(item))
        if offset >= start and (wanted is None or wanted in item.raw_properties)
    ]
    # "a" is also in the name of the header, so look at the value.
    if wanted is not None:
        plain = record(0, 1, wanted).raw_properties
        matching = [
            offset
            for piece in pieces
            for item in piece.records
            for offset in range(item.first, end_of(item))
            if offset >= start and item.raw_properties == plain
        ]
    assert offsets(consumer) == matching
    assert consumer.loaded_to == first
