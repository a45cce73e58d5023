"""Field tables keep their types; the other side is encoded by hand or decoded by pamqp."""

from __future__ import annotations

import datetime
import decimal
import struct
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import decode

from amqpbroker.errors import HardError
from amqpbroker.wire.table import (
    KIND_NAMES,
    TABLE_DEPTH_MAX,
    Field,
    decode_table,
    edit_table,
    encode_table,
)
from tests.amqp_bytes import table
from tests.wire.peer import refusal
from tests.wire.strategies import as_name, names, scalars, tables, utf8_names

if TYPE_CHECKING:
    from amqpbroker.wire.table import Table

EXACT = [
    (("t", True), b"t\x01"),
    (("t", False), b"t\x00"),
    (("b", -2), b"b\xfe"),
    (("B", 254), b"B\xfe"),
    (("s", -2), b"s\xff\xfe"),
    (("u", 65534), b"u\xff\xfe"),
    (("I", -2), b"I\xff\xff\xff\xfe"),
    (("i", 4294967294), b"i\xff\xff\xff\xfe"),
    (("l", -2), b"l" + b"\xff" * 7 + b"\xfe"),
    (("f", 1.5), b"f\x3f\xc0\x00\x00"),
    (("d", 1.5), b"d\x3f\xf8" + bytes(6)),
    (("D", (2, 4294967295)), b"D\x02\xff\xff\xff\xff"),
    (("T", 2**64 - 1), b"T" + b"\xff" * 8),
    (("S", b"\xffab"), b"S\x00\x00\x00\x03\xffab"),
    (("x", b"\xffab"), b"x\x00\x00\x00\x03\xffab"),
    (("A", (Field("t", True), Field("V", None))), b"A\x00\x00\x00\x03t\x01V"),
    (("F", {"k": Field("b", 1)}), b"F\x00\x00\x00\x04\x01kb\x01"),
    (("V", None), b"V"),
]
"""All kinds but ``L``."""


def decoded(data: bytes) -> Table:
    """Decode an encoded table, its length in front."""
    assert struct.unpack_from(">I", data)[0] == len(data) - 4
    return decode_table(data[4:])


def plain(field: tuple[str, Any]) -> Any:
    """Return a field as pamqp understands it."""
    kind, value = field
    if kind == "A":
        return [plain(item) for item in value]
    if kind == "F":
        return {name: plain(item) for name, item in value.items()}
    if kind == "S":
        return as_text(value)
    if kind == "D":
        return decimal.Decimal(value[1]).scaleb(-value[0])
    if kind == "T":
        return datetime.datetime.fromtimestamp(value, tz=datetime.UTC)
    return value


def as_bytes(name: str) -> bytes:
    """Encode a name as on the wire."""
    return name.encode("utf-8", "surrogateescape")


def as_text(value: bytes) -> str | bytes:
    """Decode a long string as pamqp does: to bytes where it is not UTF-8."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


@pytest.mark.parametrize(("field", "data"), EXACT)
def test_every_kind_has_its_bytes(field: tuple[str, Any], data: bytes) -> None:
    assert encode_table({"n": field})[4:] == b"\x01n" + data
    assert decode_table(b"\x01n" + data) == {"n": field}


def test_all_kinds_are_covered_and_named() -> None:
    assert {kind for (kind, _), _ in EXACT} | {"L"} == set(KIND_NAMES)


def test_unsigned_long_long_is_decoded_and_encoded_as_signed() -> None:
    assert decode_table(b"\x01nL" + b"\xff" * 8) == {"n": ("l", -1)}
    assert encode_table({"n": ("L", 1)}) == encode_table({"n": ("l", 1)})


def test_any_octet_but_zero_is_true() -> None:
    assert decode_table(b"\x01nt\x02") == {"n": ("t", True)}


def test_the_first_of_equal_names_wins() -> None:
    assert decode_table(b"\x01nb\x01\x01nb\x02") == {"n": ("b", 1)}


def test_fields_keep_their_order() -> None:
    fields = {name: Field("V", None) for name in "zay"}
    assert list(decoded(encode_table(fields))) == ["z", "a", "y"]


def test_text_is_accepted_for_a_long_string() -> None:
    assert encode_table({"n": ("S", "é")}) == encode_table({"n": ("S", "é".encode())})


def test_a_name_over_255_bytes_is_refused() -> None:
    assert decoded(encode_table({"n" * 255: ("V", None)}))
    with pytest.raises(ValueError, match="byte must be"):
        encode_table({"n" * 256: ("V", None)})


def test_a_value_out_of_range_is_refused() -> None:
    with pytest.raises(struct.error):
        encode_table({"n": ("b", 128)})


@given(tables())
def test_what_was_encoded_decodes_to_the_same(fields: Table) -> None:
    data = encode_table(fields)
    assert decoded(data) == fields
    assert encode_table(decoded(data)) == data


@given(st.dictionaries(utf8_names(), scalars("tbBsuIilfdTSxV"), max_size=5))
def test_bytes_encoded_by_hand_are_those_of_encode_table(fields: Table) -> None:
    assert encode_table(fields) == table(fields)


@given(st.dictionaries(names(), scalars("tbBsuIilfdSV"), max_size=5), st.booleans())
def test_pamqp_reads_the_same(fields: Table, nested: bool) -> None:
    sent = {as_name(name.encode("utf-8", "replace")): field for name, field in fields.items()}
    whole: Table = {"t": Field("F", sent), "a": Field("A", (*sent.values(),))} if nested else sent
    _, theirs = decode.field_table(encode_table(whole))
    assert theirs == {name: plain(field) for name, field in whole.items()}


@given(st.tuples(st.integers(0, 9), st.integers(0, 2**31 - 1)), st.integers(0, 2**32 - 1))
def test_pamqp_reads_the_same_decimal_and_timestamp(number: tuple[int, int], seconds: int) -> None:
    sent = {"D": Field("D", number), "T": Field("T", seconds)}
    _, theirs = decode.field_table(encode_table(sent))
    assert theirs == {name: plain(field) for name, field in sent.items()}


@given(tables(), st.data())
def test_a_table_cut_short_is_malformed_or_shorter(fields: Table, data: st.DataObject) -> None:
    whole = encode_table(fields)[4:]
    cut = data.draw(st.integers(0, len(whole)))
    if refusal(decode_table, whole[:cut]) != 502:
        assert decode_table(whole[:cut]).items() <= fields.items()


@given(st.binary())
def test_any_bytes_are_a_table_or_a_syntax_error(data: bytes) -> None:
    assert refusal(decode_table, data) in {None, 502}


@pytest.mark.parametrize(
    "data",
    [
        b"\x05n",
        b"\x01n",
        b"\x01nS\x00\x00\x00\x05abc",
        b"\x01nx\xff\xff\xff\xffabc",
        b"\x01nI\x00",
        b"\x01nF\x00\x00\x00\x09\x01kb\x01",
        b"\x01nF\x00\x00\x00\x03\x01kb\x01",
        b"\x01nA\x00\x00\x00\x09b\x01",
        b"\x01nA\x00\x00\x00\x01b\x01",
        b"\x01nA\x00\x00\x00\x01b\x01kV",
        b"\x01nF\x00\x00\x00\x06\x01kS\x00\x00\x00\x01a",
    ],
)
def test_lengths_that_lie_are_malformed(data: bytes) -> None:
    with pytest.raises(HardError, match="malformed field table"):
        decode_table(data)


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(HardError, match="unknown field type 81 in a table"):
        decode_table(b"\x01nQ")


def nested(depth: int, kind: str) -> bytes:
    """Return a table with that many tables or arrays in each other."""
    data = b""
    for _ in range(depth):
        name = b"" if kind == "A" else b"\x01n"
        data = name + kind.encode() + struct.pack(">I", len(data)) + data
    return data if kind == "F" else b"\x01n" + data


@pytest.mark.parametrize("kind", ["A", "F"])
def test_nesting_has_a_limit(kind: str) -> None:
    assert decode_table(nested(TABLE_DEPTH_MAX, kind))
    for depth in (TABLE_DEPTH_MAX + 1, 10_000):
        with pytest.raises(HardError, match="nested too deeply"):
            decode_table(nested(depth, kind))


@given(tables(), tables(), st.data())
def test_an_edited_table_is_the_old_one_changed(
    fields: Table, added: Table, data: st.DataObject
) -> None:
    removed = data.draw(st.sets(st.sampled_from(sorted(fields)))) if fields else set()
    edited = edit_table(encode_table(fields)[4:], {*removed, *added}, added)
    kept = {name: field for name, field in fields.items() if name not in removed | added.keys()}
    merged = kept | added
    names = sorted(merged, key=as_bytes) if added else list(merged)
    assert edited == encode_table({name: merged[name] for name in names})[4:]


def test_fields_named_twice_survive_an_edit_of_others() -> None:
    one, two = (encode_table({"n": ("b", value)})[4:] for value in (1, 2))
    other = encode_table({"o": ("b", 3)})[4:]
    assert edit_table(one + other + two, {"o"}, {}) == one + two
    assert edit_table(one + other + two, {"n"}, {}) == other
