"""The head of a segment, and walking its batches."""

from __future__ import annotations

import struct
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.storage.batch import Damaged, crc_seed, encode
from amqpbroker.storage.crc32c import extend
from amqpbroker.storage.log import Batch
from amqpbroker.storage.manifest import NewerFormat
from amqpbroker.storage.ranges import Ranges
from amqpbroker.storage.segment import (
    HEAD_SIZE,
    SegmentHead,
    base_of,
    batches_behind,
    decode_head,
    encode_head,
    is_blank,
    segment_name,
    walk,
)

SEED = crc_seed(UUID(int=1))
HEAD = SegmentHead(42, 3, 1000, UUID(int=1), 7, b"c" * 8, b"s" * 16)
u64 = st.integers(0, 2**64 - 1)


def batches(*offsets: int, epoch: int = 1) -> bytes:
    return b"".join(
        b"".join(encode(Batch(offset, epoch, 0, [b"x"]), durable_before=0, seed=SEED))
        for offset in offsets
    )


@given(
    st.builds(
        SegmentHead, u64, u64, u64, st.uuids(), st.integers(0, 2**32 - 1),
        st.binary(min_size=8, max_size=8), st.binary(min_size=16, max_size=16),
    )
)  # fmt: skip
def test_what_was_encoded_is_decoded(head: SegmentHead) -> None:
    assert decode_head(encode_head(head)) == head


@given(st.integers(0, HEAD_SIZE * 8 - 1))
def test_any_changed_bit_of_the_head_is_noticed(bit: int) -> None:
    data = bytearray(encode_head(HEAD))
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Damaged):
        decode_head(bytes(data))


def test_a_short_head_is_damaged() -> None:
    with pytest.raises(Damaged, match="ends in its head"):
        decode_head(encode_head(HEAD)[:-1])


def test_a_newer_format_is_told_from_damage() -> None:
    behind = struct.pack("<H", 2) + encode_head(HEAD)[14:]
    data = b"amqpblog" + struct.pack("<I", extend(0, behind)) + behind
    with pytest.raises(NewerFormat) as caught:
        decode_head(data)
    assert caught.value.args == (2,)


def test_the_layout_is_pinned() -> None:
    assert encode_head(HEAD).hex() == (
        "616d7170626c6f67" "14112155" "0100" "0000" "2a00000000000000" "0300000000000000"
        "e803000000000000" "00000000000000000000000000000001" "07000000" "6363636363636363"
        "73737373737373737373737373737373" "000000000000000000000000"
    )  # fmt: skip


def test_names_have_twenty_digits_and_tell_the_base() -> None:
    assert segment_name(42) == "00000000000000000042.log"
    assert base_of("00000000000000000042.log") == 42
    for name in (
        "manifest",
        "42.log",
        "00000000000000000042.index",
        "00000000000000000042.log.tmp",
    ):
        assert base_of(name) is None


def test_a_walk_comes_to_the_end() -> None:
    data = batches(5, 6, 7)
    found = walk(data, 5, 99, seed=SEED, gone=Ranges())
    assert [header.offset for _, header in found.batches] == [5, 6, 7]
    assert (found.end, found.expected, found.damage) == (len(data), 8, None)


def test_a_walk_stops_before_the_next_segment() -> None:
    found = walk(batches(5, 6, 7), 5, 7, seed=SEED, gone=Ranges())
    assert (found.expected, found.damage) == (7, None)


def test_a_walk_ends_at_zeros_without_damage() -> None:
    data = batches(5)
    found = walk(data + bytes(100), 5, 99, seed=SEED, gone=Ranges())
    assert (found.end, found.damage) == (len(data), None)


def test_a_walk_goes_past_what_is_gone() -> None:
    found = walk(batches(6, 9), 5, 99, seed=SEED, gone=Ranges([range(5, 6), range(7, 9)]))
    assert (found.expected, found.damage) == (10, None)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (batches(5, 7), "offset 7 where 6 is due"),
        (batches(5) + batches(6, epoch=0), "epoch 0 after epoch 1"),
        (batches(5) + b"junk" * 20, "no batch begins here"),
        (batches(5) + batches(6)[:-1], "the file ends in a batch"),
        (batches(5) + b"x", "the file ends in the header"),
    ],
)
def test_a_walk_says_why_it_stopped(data: bytes, reason: str) -> None:
    found = walk(data, 5, 99, seed=SEED, gone=Ranges())
    assert found.expected == 6
    assert reason in (found.damage or "")


def test_batches_behind_a_damage_are_found() -> None:
    data = b"\xb5aqB junk" + batches(7) + b"?" + batches(9)
    assert [header.offset for _, header in batches_behind(data, 0, SEED)] == [7, 9]


def test_blank_means_zeros_to_the_end() -> None:
    assert is_blank(b"x\0\0", 1)
    assert is_blank(b"x", 1)
    assert not is_blank(b"\0\0x", 1)
