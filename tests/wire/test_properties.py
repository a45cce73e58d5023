"""The 14 properties; pamqp and bytes written by hand are the other side."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands

from amqpbroker.errors import HardError
from amqpbroker.wire.properties import (
    PROPERTIES,
    decode_properties,
    encode_properties,
    has_property,
    raw_delivery_mode,
)
from amqpbroker.wire.table import Field
from tests import amqp_bytes
from tests.wire.peer import refusal
from tests.wire.strategies import properties, utf8_names

THEIR_NAMES = {"type": "message_type"}
"""What pamqp calls a property where it departs from the specification."""
EXAMPLES: dict[str, Any] = {"shortstr": "text", "octet": 7, "timestamp": 2**63, "table": {}}


def test_names_and_flags_are_pamqps() -> None:
    names = [THEIR_NAMES.get(name, name) for name, _ in PROPERTIES]
    assert names == commands.Basic.Properties.attributes()
    for index, name in enumerate(names):
        assert commands.Basic.Properties.flags[name] == 1 << (15 - index)


def test_no_properties_are_two_zero_octets() -> None:
    assert encode_properties({}) == bytes(2)
    assert decode_properties(bytes(2)) == {}


@pytest.mark.parametrize(("name", "wire_type"), PROPERTIES)
def test_each_property_stands_alone(name: str, wire_type: str) -> None:
    value = EXAMPLES[wire_type]
    raw = amqp_bytes.properties(**{name: value})
    assert decode_properties(raw) == {name: value}
    assert encode_properties({name: value}) == raw


def test_headers_keep_their_types() -> None:
    headers = {"n": Field("l", 1), "d": Field("d", 0.1), "s": Field("S", b"\xff")}
    raw = amqp_bytes.properties(headers=headers)
    assert decode_properties(raw) == {"headers": headers}
    assert encode_properties({"headers": headers}) == raw


def test_a_property_that_is_none_is_absent() -> None:
    assert encode_properties({"type": None, "priority": 0}) == b"\x08\x00\x00"


def test_an_empty_string_is_present() -> None:
    assert decode_properties(encode_properties({"reply_to": ""})) == {"reply_to": ""}


def test_names_that_are_not_properties_are_ignored() -> None:
    assert encode_properties({"colour": "red"}) == bytes(2)


@given(properties())
def test_presence_and_delivery_mode_can_be_read_from_the_bytes(values: dict[str, Any]) -> None:
    raw = encode_properties(values)
    decoded = decode_properties(raw)
    assert {name for name, _ in PROPERTIES if has_property(raw, name)} == decoded.keys()
    assert raw_delivery_mode(raw) == decoded.get("delivery_mode")


@given(properties())
def test_what_was_encoded_decodes_to_the_same(values: dict[str, Any]) -> None:
    raw = encode_properties(values)
    assert decode_properties(raw) == values
    assert encode_properties(decode_properties(raw)) == raw


@given(
    st.fixed_dictionaries(
        {},
        optional={
            name: utf8_names() if wire_type == "shortstr" else st.integers(0, 255)
            for name, wire_type in PROPERTIES
            if wire_type in {"shortstr", "octet"}
        },
    )
)
def test_pamqp_reads_the_same(values: dict[str, Any]) -> None:
    raw = encode_properties(values)
    theirs = commands.Basic.Properties()
    theirs.unmarshal(struct.unpack_from(">H", raw)[0], raw[2:])
    for name, _ in PROPERTIES:
        value = getattr(theirs, THEIR_NAMES.get(name, name))
        assert value == values[name] if name in values else value in (None, "")


@pytest.mark.parametrize("flags", [1, 2, 3])
def test_flags_without_a_property_are_ignored(flags: int) -> None:
    assert decode_properties(struct.pack(">H", 0x8000 | flags) + b"\x01x") == {"content_type": "x"}


@given(properties(), st.data())
def test_properties_cut_short_are_malformed(values: dict[str, Any], data: st.DataObject) -> None:
    raw = encode_properties(values)
    cut = data.draw(st.integers(0, len(raw) - 1))
    with pytest.raises(HardError) as caught:
        decode_properties(raw[:cut])
    assert caught.value.reply_code == 502


@given(properties(), st.binary(min_size=1))
def test_bytes_after_the_last_property_are_malformed(values: dict[str, Any], rest: bytes) -> None:
    with pytest.raises(HardError, match="malformed content properties"):
        decode_properties(encode_properties(values) + rest)


@given(st.binary())
def test_any_bytes_are_properties_or_a_hard_error(raw: bytes) -> None:
    assert refusal(decode_properties, raw) in {None, 501, 502}
