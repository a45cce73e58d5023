"""AMQP 0-9-1 frames, methods, tables and properties, as bytes and as plain values.

Independent of ``amqpbroker.wire`` on purpose: a mistake shared by both would never show. It is
lossless (order, duplicate keys and integer widths of tables survive) and sends what it is told,
legal or not.

A table is a list of ``(name, kind, value)`` triples, an array a list of ``(kind, value)`` pairs;
``kind`` is the one-letter field type. Long strings are text (UTF-8 with surrogateescape), byte
arrays (``x``) are hex text, decimals ``(scale, unscaled)``. All of it survives JSON.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Final

FRAME_METHOD: Final = 1
FRAME_HEADER: Final = 2
FRAME_BODY: Final = 3
FRAME_HEARTBEAT: Final = 8
FRAME_END: Final = 0xCE
FRAME_OVERHEAD: Final = 8
"""Bytes of a frame that are not payload."""

Table = list[tuple[str, str, Any]]

_SPEC: Final = """
10.10 connection.start octet:version_major octet:version_minor table:server_properties \
longstr:mechanisms longstr:locales
10.11 connection.start-ok table:client_properties shortstr:mechanism longstr:response \
shortstr:locale
10.20 connection.secure longstr:challenge
10.21 connection.secure-ok longstr:response
10.30 connection.tune short:channel_max long:frame_max short:heartbeat
10.31 connection.tune-ok short:channel_max long:frame_max short:heartbeat
10.40 connection.open shortstr:virtual_host shortstr:reserved_1 bit:reserved_2
10.41 connection.open-ok shortstr:reserved_1
10.50 connection.close short:reply_code shortstr:reply_text short:class_id short:method_id
10.51 connection.close-ok
10.60 connection.blocked shortstr:reason
10.61 connection.unblocked
10.70 connection.update-secret longstr:new_secret shortstr:reason
10.71 connection.update-secret-ok
20.10 channel.open shortstr:reserved_1
20.11 channel.open-ok longstr:reserved_1
20.20 channel.flow bit:active
20.21 channel.flow-ok bit:active
20.40 channel.close short:reply_code shortstr:reply_text short:class_id short:method_id
20.41 channel.close-ok
30.10 access.request shortstr:realm bit:exclusive bit:passive bit:active bit:write bit:read
30.11 access.request-ok short:ticket
40.10 exchange.declare short:ticket shortstr:exchange shortstr:type bit:passive bit:durable \
bit:auto_delete bit:internal bit:nowait table:arguments
40.11 exchange.declare-ok
40.20 exchange.delete short:ticket shortstr:exchange bit:if_unused bit:nowait
40.21 exchange.delete-ok
40.30 exchange.bind short:ticket shortstr:destination shortstr:source shortstr:routing_key \
bit:nowait table:arguments
40.31 exchange.bind-ok
40.40 exchange.unbind short:ticket shortstr:destination shortstr:source shortstr:routing_key \
bit:nowait table:arguments
40.51 exchange.unbind-ok
50.10 queue.declare short:ticket shortstr:queue bit:passive bit:durable bit:exclusive \
bit:auto_delete bit:nowait table:arguments
50.11 queue.declare-ok shortstr:queue long:message_count long:consumer_count
50.20 queue.bind short:ticket shortstr:queue shortstr:exchange shortstr:routing_key bit:nowait \
table:arguments
50.21 queue.bind-ok
50.30 queue.purge short:ticket shortstr:queue bit:nowait
50.31 queue.purge-ok long:message_count
50.40 queue.delete short:ticket shortstr:queue bit:if_unused bit:if_empty bit:nowait
50.41 queue.delete-ok long:message_count
50.50 queue.unbind short:ticket shortstr:queue shortstr:exchange shortstr:routing_key \
table:arguments
50.51 queue.unbind-ok
60.10 basic.qos long:prefetch_size short:prefetch_count bit:global
60.11 basic.qos-ok
60.20 basic.consume short:ticket shortstr:queue shortstr:consumer_tag bit:no_local bit:no_ack \
bit:exclusive bit:nowait table:arguments
60.21 basic.consume-ok shortstr:consumer_tag
60.30 basic.cancel shortstr:consumer_tag bit:nowait
60.31 basic.cancel-ok shortstr:consumer_tag
60.40 basic.publish short:ticket shortstr:exchange shortstr:routing_key bit:mandatory \
bit:immediate
60.50 basic.return short:reply_code shortstr:reply_text shortstr:exchange shortstr:routing_key
60.60 basic.deliver shortstr:consumer_tag longlong:delivery_tag bit:redelivered \
shortstr:exchange shortstr:routing_key
60.70 basic.get short:ticket shortstr:queue bit:no_ack
60.71 basic.get-ok longlong:delivery_tag bit:redelivered shortstr:exchange \
shortstr:routing_key long:message_count
60.72 basic.get-empty shortstr:reserved_1
60.80 basic.ack longlong:delivery_tag bit:multiple
60.90 basic.reject longlong:delivery_tag bit:requeue
60.100 basic.recover-async bit:requeue
60.110 basic.recover bit:requeue
60.111 basic.recover-ok
60.120 basic.nack longlong:delivery_tag bit:multiple bit:requeue
85.10 confirm.select bit:nowait
85.11 confirm.select-ok
90.10 tx.select
90.11 tx.select-ok
90.20 tx.commit
90.21 tx.commit-ok
90.30 tx.rollback
90.31 tx.rollback-ok
"""

CONTENT_METHODS: Final = frozenset({"basic.deliver", "basic.get-ok", "basic.return"})
"""Methods from the server that a content header and body frames follow."""

PROPERTIES: Final = (
    ("content_type", "shortstr"),
    ("content_encoding", "shortstr"),
    ("headers", "table"),
    ("delivery_mode", "octet"),
    ("priority", "octet"),
    ("correlation_id", "shortstr"),
    ("reply_to", "shortstr"),
    ("expiration", "shortstr"),
    ("message_id", "shortstr"),
    ("timestamp", "longlong"),
    ("type", "shortstr"),
    ("user_id", "shortstr"),
    ("app_id", "shortstr"),
    ("cluster_id", "shortstr"),
)

_INTEGERS: Final = {"octet": ">B", "short": ">H", "long": ">I", "longlong": ">Q"}
_TABLE_NUMBERS: Final = {
    "b": ">b",
    "B": ">B",
    "s": ">h",
    "u": ">H",
    "I": ">i",
    "i": ">I",
    "l": ">q",
    "L": ">Q",
    "T": ">Q",
    "f": ">f",
    "d": ">d",
}
_DEFAULTS: Final[dict[str, Any]] = {"shortstr": "", "longstr": "", "table": []}


class CodecError(Exception):
    """Bytes that are no AMQP 0-9-1."""


@dataclass(frozen=True)
class Method:
    """One row of the method table."""

    name: str
    class_id: int
    method_id: int
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Frame:
    """One frame as received."""

    kind: int
    channel: int
    payload: bytes


def _parse_spec() -> dict[str, Method]:
    methods = {}
    for line in _SPEC.strip().splitlines():
        ids, name, *fields = line.split()
        class_id, method_id = ids.split(".")
        pairs = [field.split(":") for field in fields]
        typed = tuple((field, kind) for kind, field in pairs)
        methods[name] = Method(name, int(class_id), int(method_id), typed)
    return methods


METHODS: Final = _parse_spec()
METHODS_BY_ID: Final = {(m.class_id, m.method_id): m for m in METHODS.values()}


def to_bytes(text: str) -> bytes:
    """Return the bytes of a name or string."""
    return text.encode("utf-8", "surrogateescape")


def to_text(data: bytes) -> str:
    """Return bytes as text that can be turned back."""
    return data.decode("utf-8", "surrogateescape")


def encode_shortstr(text: str) -> bytes:
    """Return a short string; raises ValueError above 255 bytes."""
    data = to_bytes(text)
    return bytes([len(data)]) + data


def encode_longstr(data: bytes) -> bytes:
    """Return a long string."""
    return struct.pack(">I", len(data)) + data


def encode_value(kind: str, value: Any) -> bytes:
    """Return a table value without its type octet."""
    if kind in _TABLE_NUMBERS:
        return struct.pack(_TABLE_NUMBERS[kind], value)
    if kind == "t":
        return bytes([int(value)])
    if kind == "S":
        return encode_longstr(to_bytes(value))
    if kind == "x":
        return encode_longstr(bytes.fromhex(value))
    if kind == "D":
        return struct.pack(">Bi", *value)
    if kind == "F":
        return encode_table(value)
    if kind == "A":
        items = b"".join(item.encode() + encode_value(item, each) for item, each in value)
        return encode_longstr(items)
    return b""


def encode_table(table: Table) -> bytes:
    """Return a field table, length first."""
    return encode_longstr(
        b"".join(
            encode_shortstr(name) + kind.encode() + encode_value(kind, value)
            for name, kind, value in table
        )
    )


def _encode_field(kind: str, value: Any) -> bytes:
    if kind == "shortstr":
        return encode_shortstr(value)
    if kind == "longstr":
        return encode_longstr(to_bytes(value))
    if kind == "table":
        return encode_table(value)
    return struct.pack(_INTEGERS[kind], value)


def encode_method(name: str, args: dict[str, Any]) -> bytes:
    """Return a method frame's payload; absent arguments are zero or empty."""
    method = METHODS[name]
    out = [struct.pack(">HH", method.class_id, method.method_id)]
    bits: list[bool] = []
    for field, kind in method.fields:
        value = args.get(field, _DEFAULTS.get(kind, 0))
        if kind == "bit":
            bits.append(bool(value))
            continue
        out += [_pack_bits(bits), _encode_field(kind, value)]
        bits = []
    return b"".join([*out, _pack_bits(bits)])


def _pack_bits(bits: list[bool]) -> bytes:
    return bytes([sum(bit << i for i, bit in enumerate(bits))]) if bits else b""


def encode_properties(properties: list[tuple[str, Any]]) -> bytes:
    """Return flag words and property values."""
    given = dict(properties)
    flags = sum(1 << (15 - i) for i, (name, _) in enumerate(PROPERTIES) if name in given)
    values = [_encode_field(kind, given[name]) for name, kind in PROPERTIES if name in given]
    return struct.pack(">H", flags) + b"".join(values)


def encode_header(body_size: int, raw_properties: bytes, class_id: int = 60) -> bytes:
    """Return a content header frame's payload."""
    return struct.pack(">HHQ", class_id, 0, body_size) + raw_properties


def encode_frame(kind: int, channel: int, payload: bytes, end: int = FRAME_END) -> bytes:
    """Return one frame."""
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + bytes([end])


class Reader:
    """Reads values off a byte string; raises CodecError at its end."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> bytes:
        """Return the next ``size`` bytes."""
        if self.at + size > len(self.data):
            raise CodecError(f"{size} bytes wanted at {self.at} of {len(self.data)}")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, form: str) -> Any:
        """Return the next number in ``struct`` format ``form``."""
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def shortstr(self) -> str:
        """Return the next short string."""
        return to_text(self.take(self.number(">B")))

    def longstr(self) -> bytes:
        """Return the next long string."""
        return self.take(self.number(">I"))

    def table(self) -> Table:
        """Return the next field table."""
        inner = Reader(self.longstr())
        table: Table = []
        while inner.at < len(inner.data):
            name = inner.shortstr()
            kind = chr(inner.number(">B"))
            table.append((name, kind, inner.value(kind)))
        return table

    def array(self) -> list[tuple[str, Any]]:
        """Return the next field array."""
        inner = Reader(self.longstr())
        items = []
        while inner.at < len(inner.data):
            kind = chr(inner.number(">B"))
            items.append((kind, inner.value(kind)))
        return items

    def value(self, kind: str) -> Any:
        """Return the next table value of type ``kind``."""
        if kind in _TABLE_NUMBERS:
            return self.number(_TABLE_NUMBERS[kind])
        if kind == "t":
            return self.number(">B")
        if kind == "S":
            return to_text(self.longstr())
        if kind == "x":
            return self.longstr().hex()
        if kind == "D":
            return (self.number(">B"), self.number(">i"))
        if kind == "V":
            return None
        if kind == "F":
            return self.table()
        if kind == "A":
            return self.array()
        raise CodecError(f"table value of type {kind!r}")

    def field(self, kind: str) -> Any:
        """Return the next method or property field."""
        if kind == "shortstr":
            return self.shortstr()
        if kind == "longstr":
            return to_text(self.longstr())
        if kind == "table":
            return self.table()
        return self.number(_INTEGERS[kind])


def decode_method(payload: bytes) -> tuple[str, dict[str, Any]]:
    """Return a method frame's name and arguments; raises CodecError."""
    reader = Reader(payload)
    ids = reader.number(">H"), reader.number(">H")
    if ids not in METHODS_BY_ID:
        raise CodecError(f"unknown method {ids}")
    method = METHODS_BY_ID[ids]
    args: dict[str, Any] = {}
    bit = 0
    octet = 0
    for name, kind in method.fields:
        if kind != "bit":
            bit = 0
            args[name] = reader.field(kind)
            continue
        octet = octet if bit % 8 else reader.number(">B")
        args[name] = bool(octet >> bit % 8 & 1)
        bit += 1
    if reader.at != len(payload):
        args["trailing"] = payload[reader.at :].hex()
    return method.name, args


def decode_header(payload: bytes) -> tuple[int, bytes]:
    """Return body size and raw properties of a content header; raises CodecError."""
    reader = Reader(payload)
    class_id, weight, body_size = (reader.number(form) for form in (">H", ">H", ">Q"))
    if (class_id, weight) != (60, 0):
        raise CodecError(f"content header of class {class_id}, weight {weight}")
    return body_size, payload[reader.at :]


def decode_properties(raw: bytes) -> list[tuple[str, Any]]:
    """Return the properties present, in the order of the specification; raises CodecError."""
    reader = Reader(raw)
    flags = reader.number(">H")
    if flags & 3:
        raise CodecError(f"property flags {flags:#x}")
    present = [row for i, row in enumerate(PROPERTIES) if flags >> (15 - i) & 1]
    properties = [(name, reader.field(kind)) for name, kind in present]
    if reader.at != len(raw):
        raise CodecError(f"{len(raw) - reader.at} bytes after the properties")
    return properties
