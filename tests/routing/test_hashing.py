"""The hash must never change: stored queues depend on it."""

from __future__ import annotations

import pytest

from amqpbroker.routing.hashing import hash64, key_bytes, murmur3, value_bytes


def test_the_hash_is_the_same_in_every_version() -> None:
    assert hash64(b"") == 0xE4A6A0577479B2B4
    assert hash64(b"key") == 0xCE7CCCADC3A94CF5


def test_the_width_of_an_integer_does_not_count() -> None:
    assert value_bytes("b", 5) == value_bytes("l", 5)


def test_strings_are_hashed_as_their_bytes() -> None:
    assert value_bytes("S", b"k\xff") == value_bytes("x", b"k\xff") == key_bytes("k\udcff")


def test_tables_and_arrays_can_be_hashed() -> None:
    assert value_bytes("A", (("F", {"a": ("I", 1)}),)) != value_bytes("A", ())


@pytest.mark.parametrize(
    ("data", "seed", "value"),
    [
        (b"", 0, 0),
        (b"", 1, 0x514E28B7),
        (b"\0\0\0\0", 0, 0x2362F9DE),
        (b"hello", 0, 0x248BFA47),
        (b"hello, world", 0, 0x149BBB7F),
        (b"The quick brown fox jumps over the lazy dog", 0x9747B28C, 0x2FA826CD),
    ],
)
def test_murmur3_agrees_with_published_values(data: bytes, seed: int, value: int) -> None:
    assert murmur3(data, seed) == value
