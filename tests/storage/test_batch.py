"""The bytes of one batch."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.storage.batch import (
    HEADER_SIZE,
    Damaged,
    crc_seed,
    decode,
    decode_header,
    encode,
)
from amqpbroker.storage.log import Batch

SEED = crc_seed(UUID(int=1))

u64 = st.integers(0, 2**64 - 1)
batches = st.builds(
    Batch, u64, u64, u64, st.lists(st.binary(max_size=50), min_size=1, max_size=20)
) | st.builds(Batch, u64, u64, u64, st.just(()), st.text(max_size=20))


def encoded(batch: Batch, seed: int = SEED) -> bytes:
    return b"".join(encode(batch, durable_before=3, seed=seed))


def decoded(data: bytes, position: int = 0) -> Batch:
    return decode(decode_header(data, position), data, position, SEED)


@given(batches, st.binary(max_size=9), st.binary(max_size=9))
def test_what_was_encoded_is_decoded_wherever_it_stands(
    batch: Batch, before: bytes, behind: bytes
) -> None:
    data = before + encoded(batch) + behind
    result = decoded(data, len(before))
    assert result._replace(records=list(result.records)) == batch._replace(
        records=list(batch.records)
    )


@given(batches, st.data())
def test_any_changed_bit_is_noticed(batch: Batch, draw: st.DataObject) -> None:
    data = bytearray(encoded(batch))
    bit = draw.draw(st.integers(0, len(data) * 8 - 1))
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Damaged):
        decoded(bytes(data))


@given(batches, st.data())
def test_any_cut_is_noticed(batch: Batch, draw: st.DataObject) -> None:
    data = encoded(batch)
    with pytest.raises(Damaged):
        decoded(data[: draw.draw(st.integers(0, len(data) - 1))])


def test_a_batch_of_another_log_is_no_batch() -> None:
    with pytest.raises(Damaged, match="checksum"):
        decoded(encoded(Batch(0, 1, 0, [b"x"]), crc_seed(UUID(int=2))))


@given(st.binary(max_size=200))
def test_garbage_raises_nothing_but_damaged(data: bytes) -> None:
    with pytest.raises(Damaged):
        decoded(data)


def test_the_header_tells_how_far_the_batch_reaches() -> None:
    data = encoded(Batch(0, 1, 0, [b"abc", b""]))
    assert decode_header(data, 0).total_size == len(data) == HEADER_SIZE + 2 * 4 + 3


def test_the_layout_is_pinned() -> None:
    data = encoded(Batch(5, 2, 1000, [b"ab"]))
    assert data.hex() == (
        "b5617142" "c4488c81" "06000000" "01000000" "00" "00" "0000"
        "0500000000000000" "0200000000000000" "0300000000000000" "e803000000000000"
        "02000000" "6162"
    )  # fmt: skip
