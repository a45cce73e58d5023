"""The hash must never change: stored queues depend on it."""

from __future__ import annotations

from amqpbroker.routing.hashing import hash64, key_bytes, value_bytes


def test_the_hash_is_the_same_in_every_version() -> None:
    assert hash64(b"") == 0xE4A6A0577479B2B4
    assert hash64(b"key") == 0xCE7CCCADC3A94CF5


def test_the_width_of_an_integer_does_not_count() -> None:
    assert value_bytes("b", 5) == value_bytes("l", 5)


def test_strings_are_hashed_as_their_bytes() -> None:
    assert value_bytes("S", b"k\xff") == value_bytes("x", b"k\xff") == key_bytes("k\udcff")


def test_tables_and_arrays_can_be_hashed() -> None:
    assert value_bytes("A", (("F", {"a": ("I", 1)}),)) != value_bytes("A", ())
