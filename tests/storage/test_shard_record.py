"""The records of a shard log: what is encoded is decoded, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.storage.shard_record import (
    BadRecord,
    EnqueueRecord,
    ReturnRecord,
    SettleRecord,
    bodies_in,
    decode,
    encode_enqueue,
    encode_return,
    encode_settle,
    ranges_of,
)

SAMPLE = EnqueueRecord(7, 2, (1, 9), b"e", b"key", b"\x10\0\x02", 3, b"abcdef", 1234)
names = st.binary(max_size=255)
ids = st.integers(0, 2**32 - 1)


@st.composite
def enqueues(draw: st.DrawFn) -> EnqueueRecord:
    count, size = draw(st.integers(1, 5)), draw(st.integers(0, 40))
    return EnqueueRecord(
        draw(st.integers(1, 2**64 - 1)),
        count,
        tuple(draw(st.lists(ids, min_size=1, max_size=5))),
        draw(names),
        draw(names),
        draw(st.binary(max_size=60)),
        size,
        draw(st.binary(min_size=count * size, max_size=count * size)),
        draw(st.integers(0, 2**64 - 1)),
        draw(st.booleans()),
    )


@given(enqueues())
def test_an_enqueue_is_decoded_as_it_was(record: EnqueueRecord) -> None:
    assert decode(encode_enqueue(record)) == record


@given(enqueues())
def test_bodies_are_found_where_they_lie(record: EnqueueRecord) -> None:
    found = bodies_in(encode_enqueue(record))
    assert found is not None
    assert (found.first, found.end) == (record.first, record.first + record.message_count)
    assert (found.body_size, found.data[found.start :]) == (record.body_size, record.bodies)


def test_a_settle_holds_no_bodies() -> None:
    assert bodies_in(encode_settle(1, [2])) is None


@given(ids, st.sets(st.integers(1, 60)).flatmap(lambda numbers: st.permutations(list(numbers))))
def test_a_settle_is_decoded_as_ascending_ranges(queue_id: int, sequences: list[int]) -> None:
    record = decode(encode_settle(queue_id, sequences))
    assert isinstance(record, SettleRecord)
    assert record.queue_id == queue_id
    found = [n for first, count in record.ranges for n in range(first, first + count)]
    assert found == sorted(sequences)


@given(ids, ids, st.sets(st.integers(1, 60)), st.integers(0, 2**64 - 1), st.binary(max_size=20))
def test_a_return_is_decoded_as_it_was(
    queue_id: int, count: int, sequences: set[int], due_ms: int, error: bytes
) -> None:
    record = decode(encode_return(queue_id, count, sequences, due_ms, error))
    assert record == ReturnRecord(queue_id, count, ranges_of(sorted(sequences)), due_ms, error)


def test_ranges_are_as_few_as_possible() -> None:
    assert ranges_of([]) == []
    assert ranges_of([1, 2, 3, 7, 9, 10]) == [(1, 3), (7, 1), (9, 2)]


def test_bodies_lie_back_to_back() -> None:
    assert [SAMPLE.body(7), SAMPLE.body(8)] == [b"abc", b"def"]


def test_the_layout_is_the_one_in_the_box() -> None:
    assert encode_enqueue(SAMPLE).hex(" ") == (
        "01 00 00 00 00 00 00 00 00 07 00 00 00 02 00 00 00 02 00 00 00 03 00 00 00 03"
        " 00 00 00 00 00 00 04 d2 00 00 00 01 00 00 00 09 01 65 03 6b 65 79 10 00 02"
        " 61 62 63 64 65 66"
    )
    assert encode_settle(5, [3, 2, 9]).hex(" ") == (
        "02 00 00 00 05 00 00 00 02 00 00 00 00 00 00 00 02 00 00 00 02"
        " 00 00 00 00 00 00 00 09 00 00 00 01"
    )


@given(enqueues(), st.data())
def test_a_record_that_is_cut_or_longer_is_none(record: EnqueueRecord, data: st.DataObject) -> None:
    encoded = encode_enqueue(record)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    for wrong in (encoded[:cut], encoded + b"\0"):
        with pytest.raises(BadRecord):
            decode(wrong)
        with pytest.raises(BadRecord):
            bodies_in(wrong)


@pytest.mark.parametrize("cut", range(len(encode_settle(1, [1, 3]))))
def test_a_settle_that_is_cut_is_none(cut: int) -> None:
    with pytest.raises(BadRecord):
        decode(encode_settle(1, [1, 3])[:cut])


@pytest.mark.parametrize("data", [b"", b"\0", b"\x03" + bytes(60), b"\x01" * 10])
def test_what_is_no_record_is_told_so(data: bytes) -> None:
    with pytest.raises(BadRecord, match="not a shard record"):
        decode(data)
