"""Sparse indexes: floor lookups, and files that are trusted only while they fit."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.storage.batch import Damaged
from amqpbroker.storage.index import (
    INDEX_MAGIC,
    TIME_INDEX_MAGIC,
    SegmentIndex,
    SparseIndex,
    decode_index,
    encode_index,
)
from amqpbroker.storage.segment import SegmentHead

HEAD = SegmentHead(42, 1, 0, UUID(int=1), salt=b"s" * 16)


def sparse(keys: list[int]) -> SparseIndex:
    index = SparseIndex()
    for number, key in enumerate(keys):
        index.add(key, number)
    return index


@given(st.lists(st.integers(0, 50)).map(sorted), st.integers(0, 60))
def test_floor_is_the_last_at_or_under(keys: list[int], key: int) -> None:
    under = [pair for pair in zip(keys, range(99), strict=False) if pair[0] <= key]
    if under:
        assert sparse(keys).floor(key) == under[-1]
    else:
        with pytest.raises(LookupError):
            sparse(keys).floor(key)


@given(st.lists(st.integers(0, 50)).map(sorted), st.integers(0, 60))
def test_below_is_the_last_under(keys: list[int], key: int) -> None:
    under = [pair for pair in zip(keys, range(99), strict=False) if pair[0] < key]
    if under:
        assert sparse(keys).below(key) == under[-1]
    else:
        with pytest.raises(LookupError):
            sparse(keys).below(key)


def test_there_is_an_entry_per_interval_beginning_with_the_first() -> None:
    index = SegmentIndex(100)
    for offset in range(10):
        index.note(offset, 96 + offset * 40, 1000 + offset)
    assert list(index.offsets.keys) == [0, 3, 6, 9]
    assert list(index.offsets.values) == [96, 216, 336, 456]


def test_the_time_index_keys_on_what_came_before() -> None:
    index = SegmentIndex(1)
    for offset, time in enumerate((50, 70, 60, 90)):
        index.note(offset, offset, time)
    index.finish(4)
    assert list(index.times.keys) == [0, 50, 70, 70, 90]
    assert list(index.times.values) == [0, 1, 2, 3, 4]
    assert index.times.below(70) == (50, 1)
    assert index.times.below(71) == (70, 3)
    assert index.times.below(91) == (90, 4)


@given(st.lists(st.integers(0, 2**64 - 1)).map(sorted))
def test_what_was_encoded_is_decoded(keys: list[int]) -> None:
    data = encode_index(sparse(keys), INDEX_MAGIC, HEAD, 1000)
    index = decode_index(data, INDEX_MAGIC, HEAD, 1000)
    assert list(index.keys) == keys
    assert list(index.values) == list(range(len(keys)))


@given(st.data())
def test_any_change_or_cut_of_the_file_is_noticed(draw: st.DataObject) -> None:
    data = encode_index(sparse([1, 2, 3]), INDEX_MAGIC, HEAD, 1000)
    place = draw.draw(st.integers(0, len(data) - 1))
    changed = bytearray(data)
    changed[place] ^= draw.draw(st.integers(1, 255))
    for bad in (bytes(changed), data[:place], data + b"\0"):
        with pytest.raises(Damaged):
            decode_index(bad, INDEX_MAGIC, HEAD, 1000)


@pytest.mark.parametrize(
    ("magic", "head", "covers"),
    [
        (TIME_INDEX_MAGIC, HEAD, 1000),
        (INDEX_MAGIC, HEAD._replace(base=43), 1000),
        (INDEX_MAGIC, HEAD._replace(salt=b"t" * 16), 1000),
        (INDEX_MAGIC, HEAD, 1001),
    ],
)
def test_an_index_of_anything_else_is_stale(magic: bytes, head: SegmentHead, covers: int) -> None:
    data = encode_index(sparse([1]), INDEX_MAGIC, HEAD, 1000)
    with pytest.raises(Damaged):
        decode_index(data, magic, head, covers)
