"""Field tables that keep their types: bytes ↔ ``{name: (kind, value)}``.

A value is a pair of its one-letter kind and a Python value, because Python's own types cannot tell
an int64 from an int8 or a timestamp (FEATURES T1, T5, A5.4)::

    t bool   b i8   B u8   s i16   u u16   I i32   i u32   l i64   L i64 (decoded only, T6)
    f float  d double   D (scale, unscaled)   T timestamp (seconds)   S bytes   x bytes
    A tuple of pairs   F nested table   V None

Errata: https://www.rabbitmq.com/amqp-0-9-1-errata.html#section_3. The first of two equal names
wins, as in RabbitMQ's look-ups; a table that is only passed on stays the bytes that it came as.
"""

from __future__ import annotations

import struct
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from amqpbroker.errors import syntax_error

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

KIND_NAMES: Final = {
    "t": "bool",
    "b": "byte",
    "B": "unsignedbyte",
    "s": "short",
    "u": "unsignedshort",
    "I": "signedint",
    "i": "unsignedint",
    "l": "long",
    "L": "long",
    "f": "float",
    "d": "double",
    "D": "decimal",
    "T": "timestamp",
    "S": "longstr",
    "x": "binary",
    "A": "array",
    "F": "table",
    "V": "void",
}
"""What RabbitMQ calls the kinds in its error texts."""
TABLE_DEPTH_MAX: Final = 64
"""Nesting of tables and arrays: far beyond real use, well below Python's recursion limit."""


class Field(NamedTuple):
    """A typed value of a table or an array."""

    kind: str
    value: Any


Table: TypeAlias = dict[str, Field]

_FIXED: Final = {
    kind: struct.Struct(">" + code)
    for kind, code in {
        "t": "?",
        "b": "b",
        "B": "B",
        "s": "h",
        "u": "H",
        "I": "i",
        "i": "I",
        "l": "q",
        "f": "f",
        "d": "d",
        "T": "Q",
    }.items()
}
_READERS: Final = {
    ord(kind): (kind, fixed.unpack_from, 1 + fixed.size) for kind, fixed in _FIXED.items()
} | {ord("L"): ("l", _FIXED["l"].unpack_from, 9)}
"""Octet of a kind of fixed size → kind, how to read the value, bytes that both take."""
_LONGSTR: Final = ord("S")
_SIZE: Final = struct.Struct(">I")
_DECIMAL: Final = struct.Struct(">BI")

_size_at: Final = _SIZE.unpack_from
_new_tuple: Final = tuple.__new__
"""``_new_tuple(Field, (kind, value))`` takes half the time of ``Field(kind, value)``."""


def decode_table(data: bytes) -> Table:
    """Decode a table from the bytes after its length.

    Raises :class:`~amqpbroker.errors.HardError` 502 for anything malformed.
    """
    try:
        return _decode_table(data, 0, len(data), 0)
    except (struct.error, IndexError):
        raise syntax_error("malformed field table") from None


def _decode_table(data: bytes, pos: int, end: int, depth: int) -> Table:
    """Decode up to ``end``; a value that goes on behind it leaves ``pos`` there, and is found.

    Publishers send headers with every message, so the kinds that most values have are read here
    and not by a call.
    """
    table: Table = {}
    while pos < end:
        start = pos + 1
        pos = start + data[pos]
        name = data[start:pos].decode("utf-8", "surrogateescape")
        octet = data[pos]
        if octet == _LONGSTR:
            start = pos + 5
            pos = start + _size_at(data, pos + 1)[0]
            field = _new_tuple(Field, ("S", data[start:pos]))
        elif octet in _READERS:
            kind, value_at, size = _READERS[octet]
            field = _new_tuple(Field, (kind, value_at(data, pos + 1)[0]))
            pos += size
        else:
            field, pos = _decode_field(data, pos, end, depth)
        if name not in table:
            table[name] = field
    if pos != end:
        raise syntax_error("malformed field table")
    return table


def _decode_field(data: bytes, pos: int, end: int, depth: int) -> tuple[Field, int]:
    octet = data[pos]
    reader = _READERS.get(octet)
    if reader is not None:
        kind, value_at, size = reader
        return Field(kind, value_at(data, pos + 1)[0]), pos + size
    kind = chr(octet)
    pos += 1
    if kind == "S" or kind == "x":
        stop = pos + 4 + _SIZE.unpack_from(data, pos)[0]
        return Field(kind, data[pos + 4 : stop]), stop
    if kind == "V":
        return Field(kind, None), pos
    if kind == "D":
        return Field(kind, _DECIMAL.unpack_from(data, pos)), pos + 5
    if kind == "A" or kind == "F":
        return _decode_nested(kind, data, pos, end, depth + 1)
    raise syntax_error(f"unknown field type {octet} in a table")


def _decode_nested(kind: str, data: bytes, pos: int, end: int, depth: int) -> tuple[Field, int]:
    if depth > TABLE_DEPTH_MAX:
        raise syntax_error("field table nested too deeply")
    start = pos + 4
    stop = start + _SIZE.unpack_from(data, pos)[0]
    if stop > end:
        raise syntax_error("malformed field table")
    if kind == "F":
        return Field(kind, _decode_table(data, start, stop, depth)), stop
    items: list[Field] = []
    while start < stop:
        field, start = _decode_field(data, start, stop, depth)
        items.append(field)
    if start != stop:
        raise syntax_error("malformed field table")
    return Field(kind, tuple(items)), stop


def encode_table(table: Mapping[str, tuple[str, Any]]) -> bytes:
    """Encode a table, its length in front.

    Raises :class:`ValueError` for a name over 255 bytes; values out of their kind's range raise
    :class:`struct.error`: tables come from decoded tables or from our own code.
    """
    out = bytearray()
    for name, (kind, value) in table.items():
        data = name.encode("utf-8", "surrogateescape")
        out.append(len(data))
        out += data
        _encode_field(out, kind, value)
    return _SIZE.pack(len(out)) + bytes(out)


def edit_table(data: bytes, changed: Collection[str], added: Mapping[str, Field]) -> bytes:
    """Return the bytes of a table without the fields in ``changed`` and with those in ``added``.

    All other fields stay as they are to the byte, also those that are named twice (T1). As in
    RabbitMQ the fields are in the order of their names once one has been added. ``data`` are the
    bytes after the length, of a table that has been decoded.
    """
    fields = [
        (name.encode("utf-8", "surrogateescape"), encode_table({name: field})[4:])
        for name, field in added.items()
    ]
    pos = 0
    while pos < len(data):
        kind_at = pos + 1 + data[pos]
        raw_name = data[pos + 1 : kind_at]
        _, stop = _decode_field(data, kind_at, len(data), 0)
        if raw_name.decode("utf-8", "surrogateescape") not in changed:
            fields.append((raw_name, data[pos:stop]))
        pos = stop
    if added:
        fields.sort(key=itemgetter(0))
    return b"".join(field for _, field in fields)


def _encode_text(out: bytearray, value: bytes | str) -> None:
    data = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    out += _SIZE.pack(len(data))
    out += data


def _encode_array(out: bytearray, value: Iterable[tuple[str, Any]]) -> None:
    items = bytearray()
    for kind, item in value:
        _encode_field(items, kind, item)
    out += _SIZE.pack(len(items))
    out += items


def _encode_nested_table(out: bytearray, value: Mapping[str, tuple[str, Any]]) -> None:
    out += encode_table(value)


_ENCODERS: Final[dict[str, Callable[[bytearray, Any], None]]] = {
    "S": _encode_text,
    "x": _encode_text,
    "V": lambda out, value: None,
    "D": lambda out, value: out.extend(_DECIMAL.pack(*value)),
    "A": _encode_array,
    "F": _encode_nested_table,
}


def _encode_field(out: bytearray, kind: str, value: Any) -> None:
    kind = "l" if kind == "L" else kind
    out += kind.encode("ascii")
    fixed = _FIXED.get(kind)
    if fixed is not None:
        out += fixed.pack(value)
    else:
        _ENCODERS[kind](out, value)
