"""Methods as dataclasses: bytes ↔ objects, the annotations of the fields being the codec.

A method class is declared once, in ``methods.py``; this file turns its annotations into the list of
wire types and reads and writes by that list. For the cold methods; content has its own encoders.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, fields
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Final,
    TypeVar,
    dataclass_transform,
    get_type_hints,
)

from amqpbroker.errors import (
    REPLY_TEXT_SIZE_MAX,
    HardError,
    command_invalid,
    frame_error,
    syntax_error,
)
from amqpbroker.wire.erlang import format_octets
from amqpbroker.wire.table import Table, decode_table, encode_table

if TYPE_CHECKING:
    from collections.abc import Callable

Octet = Annotated[int, "octet"]
Short = Annotated[int, "short"]
Long = Annotated[int, "long"]
LongLong = Annotated[int, "longlong"]
Bit = Annotated[bool, "bit"]
ShortStr = Annotated[str, "shortstr"]
LongStr = Annotated[bytes, "longstr"]
TableField = Annotated[Table, "table"]

_FIXED: Final = {
    "octet": struct.Struct(">B"),
    "short": struct.Struct(">H"),
    "long": struct.Struct(">I"),
    "longlong": struct.Struct(">Q"),
}
_LONG: Final = _FIXED["long"]
_METHOD_FRAME: Final = struct.Struct(">BHIHH")


class Method:
    """What all methods share: their numbers, their name and the codec made from their fields."""

    __slots__ = ()
    class_id: ClassVar[int]
    method_id: ClassVar[int]
    method_name: ClassVar[str]
    """As in the spec, ``queue.declare``."""
    wire_types: ClassVar[tuple[tuple[str, str], ...]]
    """(field name, wire type) in order."""


_ON_BAD_NAME: Final = dict.fromkeys(
    (60 << 16 | method_id for method_id in (40, 50, 60, 71)), "surrogateescape"
)
"""Publish, return, deliver and get-ok: routing keys of messages may be any bytes."""
METHODS: Final[dict[int, type[Method]]] = {}
"""``class_id << 16 | method_id`` → class."""

_M = TypeVar("_M", bound=Method)


@dataclass_transform()
def method(class_id: int, method_id: int, name: str) -> Callable[[type[_M]], type[_M]]:
    def register(cls: type[_M]) -> type[_M]:
        made = dataclass(slots=True)(cls)
        hints = get_type_hints(made, include_extras=True)
        made.class_id, made.method_id, made.method_name = class_id, method_id, name
        made.wire_types = tuple(
            (item.name, hints[item.name].__metadata__[0])
            for item in fields(made)  # type: ignore[arg-type]
        )
        METHODS[class_id << 16 | method_id] = made
        return made

    return register


def encode_method(number: int, method: Method) -> bytes:
    """Return the whole frame of ``method`` on channel ``number``."""
    out = bytearray()
    bits: list[bool] = []
    for name, wire_type in method.wire_types:
        value = getattr(method, name)
        if wire_type == "bit":
            bits.append(value)
            continue
        _flush_bits(out, bits)
        _encode_value(out, wire_type, value)
    _flush_bits(out, bits)
    head = _METHOD_FRAME.pack(1, number, len(out) + 4, method.class_id, method.method_id)
    return b"%b%b\xce" % (head, bytes(out))


def _flush_bits(out: bytearray, bits: list[bool]) -> None:
    if bits:
        out.append(sum(bit << index for index, bit in enumerate(bits)))
        bits.clear()


def _encode_value(out: bytearray, wire_type: str, value: Any) -> None:
    fixed = _FIXED.get(wire_type)
    if fixed is not None:
        out += fixed.pack(value)
    elif wire_type == "shortstr":
        data = value.encode("utf-8", "surrogateescape")
        out.append(len(data))
        out += data
    elif wire_type == "longstr":
        out += _LONG.pack(len(value))
        out += value
    else:
        out += encode_table(value)


def decode_method(payload: bytes) -> Method:
    """Decode a method frame's payload.

    Raises :class:`~amqpbroker.errors.HardError`: 503 for a method that does not exist (FEATURES
    A1.17), 501 for arguments that end early or go on after the last field (RabbitMQ's text), 502
    for a malformed table; the error names the method. 501 for a name that is not UTF-8: only a
    published message may have one (seen on RabbitMQ; T3), since definitions go out as JSON.
    """
    if len(payload) < 4:
        raise syntax_error("method frame too short")
    index = _LONG.unpack_from(payload)[0]
    try:
        return _decode_arguments(index, payload)
    except HardError as error:
        error.failing = (index >> 16, index & 0xFFFF)
        raise
    except UnicodeDecodeError:
        raise frame_error("Malformed UTF-8 in shortstr") from None


def _decode_arguments(index: int, payload: bytes) -> Method:
    cls = METHODS.get(index)
    if cls is None:
        raise command_invalid(f"unknown method {index >> 16}.{index & 0xFFFF}")
    try:
        values, pos = _decode_values(cls.wire_types, payload, 4, _ON_BAD_NAME.get(index, "strict"))
    except (struct.error, IndexError):
        pos = -1
    if pos != len(payload):
        shown = payload[4 : 4 + REPLY_TEXT_SIZE_MAX]
        raise frame_error(f"cannot decode {format_octets(shown)}")
    return cls(*values)


def _decode_values(
    wire_types: tuple[tuple[str, str], ...], payload: bytes, pos: int, on_bad_name: str
) -> tuple[list[Any], int]:
    values: list[Any] = []
    bit = 0
    for _, wire_type in wire_types:
        if wire_type == "bit":
            if bit == 0:
                octet = payload[pos]
                pos += 1
            values.append(bool(octet >> bit & 1))
            bit = (bit + 1) & 7
            continue
        bit = 0
        value, pos = _decode_value(wire_type, payload, pos, on_bad_name)
        values.append(value)
    return values, pos


def _decode_value(wire_type: str, payload: bytes, pos: int, on_bad_name: str) -> tuple[Any, int]:
    fixed = _FIXED.get(wire_type)
    if fixed is not None:
        return fixed.unpack_from(payload, pos)[0], pos + fixed.size
    if wire_type == "shortstr":
        stop = pos + 1 + payload[pos]
        data = payload[pos + 1 : stop]
    else:
        stop = pos + 4 + _LONG.unpack_from(payload, pos)[0]
        data = payload[pos + 4 : stop]
    if stop > len(payload):
        raise IndexError
    if wire_type == "shortstr":
        return data.decode("utf-8", on_bad_name), stop
    return (decode_table(data) if wire_type == "table" else data), stop
