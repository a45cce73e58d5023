"""The differential tester's codec loses nothing."""

from __future__ import annotations

from random import Random

import pytest

from interop.differential import codec
from interop.differential.generate import vocabulary


def as_pairs(value: object) -> object:
    """Return lists as tuples, at any depth."""
    return tuple(as_pairs(each) for each in value) if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("seed", range(50))
def test_a_random_table_survives(seed: int) -> None:
    table = vocabulary.table(Random(seed), 6)
    decoded = codec.Reader(codec.encode_table(table)).table()
    assert as_pairs(decoded) == as_pairs(table)


@pytest.mark.parametrize("seed", range(20))
def test_random_properties_survive(seed: int) -> None:
    raw = codec.encode_properties(vocabulary.properties(Random(seed)))
    assert codec.encode_properties(codec.decode_properties(raw)) == raw


@pytest.mark.parametrize("name", codec.METHODS)
def test_every_method_survives(name: str) -> None:
    method, args = codec.decode_method(codec.encode_method(name, {}))
    assert method == name
    assert list(args) == [field for field, _ in codec.METHODS[name].fields]


def test_bits_share_an_octet() -> None:
    payload = codec.encode_method("queue.declare", {"durable": True, "nowait": True})
    assert payload[7] == 0b10010
    assert codec.decode_method(payload)[1]["durable"]


def test_bytes_after_the_arguments_show() -> None:
    payload = codec.encode_method("tx.select", {}) + b"\x07"
    assert codec.decode_method(payload) == ("tx.select", {"trailing": "07"})


@pytest.mark.parametrize("payload", [b"", b"\x00\x0a", b"\x00\x63\x00\x01", b"\x00\x14\x00\x14"])
def test_what_is_no_method_raises(payload: bytes) -> None:
    with pytest.raises(codec.CodecError):
        codec.decode_method(payload)
