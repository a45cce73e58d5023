"""AMQPLAIN: two strings in a table without its length."""

from __future__ import annotations

import struct
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import encode

from amqpbroker.auth.sasl.amqplain import Amqplain, read_strings
from amqpbroker.errors import HardError


def field(name: bytes, kind: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + kind + value


def longstr(name: bytes, value: bytes, kind: bytes = b"S") -> bytes:
    return field(name, kind, struct.pack(">I", len(value)) + value)


GUEST = longstr(b"LOGIN", b"guest") + longstr(b"PASSWORD", b"secret")


def test_name_and_password_are_found() -> None:
    assert Amqplain().step(GUEST) == ("guest", b"secret")


def test_a_byte_array_is_a_string_too() -> None:
    table = longstr(b"LOGIN", b"guest", b"x") + longstr(b"PASSWORD", b"secret", b"x")
    assert Amqplain().step(table) == ("guest", b"secret")


def test_the_first_of_two_fields_counts() -> None:
    assert Amqplain().step(GUEST + longstr(b"LOGIN", b"other")).username == "guest"


def test_other_fields_of_every_type_are_walked_over() -> None:
    table: dict[str, object] = {
        "a": True,
        "b": 1,
        "c": -1,
        "d": 2**40,
        "e": 1.5,
        "f": Decimal("1.5"),
        "g": datetime(2020, 1, 1, tzinfo=UTC),
        "h": {"LOGIN": "inner"},
        "i": ["x", 1, {"y": None}],
        "j": None,
        "k": bytearray(b"\0"),
        "LOGIN": "guest",
        "PASSWORD": "secret",
    }
    data = encode.field_table(table)[4:]  # type: ignore[arg-type]
    assert Amqplain().step(data) == ("guest", b"secret")
    assert read_strings(data).keys() == table.keys()


@pytest.mark.parametrize(
    ("kind", "value"),
    [(b"t", b"\1"), (b"B", b"\1"), (b"s", b"\0\1"), (b"u", b"\0\1"), (b"f", bytes(4)),
     (b"l", bytes(8)), (b"L", bytes(8)), (b"D", bytes(5)), (b"V", b""), (b"b", b"\1")],
)  # fmt: skip
def test_values_of_fixed_size_are_walked_over(kind: bytes, value: bytes) -> None:
    assert Amqplain().step(field(b"x", kind, value) + GUEST) == ("guest", b"secret")


@pytest.mark.parametrize(
    ("table", "text"),
    [
        (b"", "missing LOGIN or PASSWORD"),
        (longstr(b"LOGIN", b"guest"), "missing LOGIN or PASSWORD"),
        (longstr(b"login", b"guest") + longstr(b"password", b"p"), "missing LOGIN or PASSWORD"),
        (longstr(b"LOGIN", b"guest") + field(b"PASSWORD", b"I", bytes(4)), "unsupported type"),
        (field(b"LOGIN", b"V", b"") + longstr(b"PASSWORD", b"p"), "unsupported type"),
        (struct.pack(">I", len(GUEST)) + GUEST, "not a table"),
        (b"garbage", "not a table"),
        (GUEST[:-1], "not a table"),
        (GUEST + b"\1x", "not a table"),
        (GUEST + field(b"x", b"Z", b"\1"), "not a table"),
        (GUEST + field(b"x", b"l", b"\1"), "not a table"),
        (GUEST + field(b"x", b"S", b"\0\0"), "not a table"),
    ],
)
def test_a_malformed_response_is_a_syntax_error(table: bytes, text: str) -> None:
    with pytest.raises(HardError, match=text) as caught:
        Amqplain().step(table)
    assert caught.value.reply_code == 502


@given(data=st.binary())
def test_garbage_raises_nothing_but_the_declared_error(data: bytes) -> None:
    with suppress(HardError):
        Amqplain().step(data)


@given(data=st.data())
def test_a_cut_table_raises_nothing_but_a_syntax_error(data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(GUEST) - 1))
    with pytest.raises(HardError):
        Amqplain().step(GUEST[:cut])
