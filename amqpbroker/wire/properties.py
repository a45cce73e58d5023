"""The 14 properties of class basic: bytes ↔ dict.

A content header carries flags (bit 15 = content_type … bit 2 = cluster_id; bit 0 = more flags
follow), then the values of those present (spec 4.2.6.1). The publisher's bytes are what consumers
get; the dict is for those who must look (routing, expiry, CC), and encoding is only for messages
that the broker itself changes (FEATURES A5.3, T1, T4).
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Any, Final

from amqpbroker.errors import syntax_error
from amqpbroker.wire.table import decode_table, encode_table

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
    ("timestamp", "timestamp"),
    ("type", "shortstr"),
    ("user_id", "shortstr"),
    ("app_id", "shortstr"),
    ("cluster_id", "shortstr"),
)
FLAGS_CACHE_COUNT_MAX: Final = 256
"""Combinations of properties remembered: a client uses a handful."""
_FLAGS: Final = tuple(
    (1 << (15 - index), name, wire_type) for index, (name, wire_type) in enumerate(PROPERTIES)
)
_FLAG_OF: Final = {name: flag for flag, name, _ in _FLAGS}
HEADERS_FLAG: Final = 1 << 13
_KNOWN_FLAGS: Final = sum(flag for flag, _, _ in _FLAGS)
_SHORT: Final = struct.Struct(">H")
_LONG: Final = struct.Struct(">I")
_LONGLONG: Final = struct.Struct(">Q")


def decode_properties(raw: bytes) -> dict[str, Any]:
    """Decode flags and values; properties that are absent are absent from the dict.

    The two flags without a property are ignored, as RabbitMQ does.
    Raises :class:`~amqpbroker.errors.HardError`: 502 for malformed values.
    """
    try:
        return _decode(raw)
    except (struct.error, IndexError):
        raise syntax_error("malformed content properties") from None


@lru_cache(FLAGS_CACHE_COUNT_MAX)
def _present(flags: int) -> tuple[tuple[str, str], ...]:
    """Return name and wire type of the properties that ``flags`` announce."""
    return tuple((name, wire_type) for flag, name, wire_type in _FLAGS if flags & flag)


def _decode(raw: bytes) -> dict[str, Any]:
    flags = _SHORT.unpack_from(raw)[0] & _KNOWN_FLAGS
    properties: dict[str, Any] = {}
    pos, end = 2, len(raw)
    for name, wire_type in _present(flags):
        if wire_type == "shortstr":
            start = pos + 1
            pos = start + raw[pos]
            properties[name] = raw[start:pos].decode("utf-8", "surrogateescape")
        elif wire_type == "octet":
            properties[name] = raw[pos]
            pos += 1
        elif wire_type == "table":
            stop = pos + 4 + _LONG.unpack_from(raw, pos)[0]
            if stop > end:
                raise IndexError
            properties[name] = decode_table(raw[pos + 4 : stop])
            pos = stop
        else:
            properties[name] = _LONGLONG.unpack_from(raw, pos)[0]
            pos += 8
    if pos != end:
        raise IndexError
    return properties


def has_property(raw: bytes, name: str) -> bool:
    """Return whether a property is present, by its flag alone."""
    return bool(_SHORT.unpack_from(raw)[0] & _FLAG_OF[name])


def raw_delivery_mode(raw: bytes) -> int | None:
    """Return the delivery mode, None if there is none, of properties that are well formed."""
    flags = _SHORT.unpack_from(raw)[0]
    pos = 2
    for flag, name, wire_type in _FLAGS:
        if name == "delivery_mode":
            break
        if flags & flag:
            pos += 4 + _LONG.unpack_from(raw, pos)[0] if wire_type == "table" else 1 + raw[pos]
    return raw[pos] if flags & flag else None


def headers_place(raw: bytes) -> tuple[int, int]:
    """Return where the headers table stands, its length included, or would stand: start, stop."""
    flags = _SHORT.unpack_from(raw)[0]
    pos = 2
    for flag, name, _ in _FLAGS:
        if name == "headers":
            break
        if flags & flag:
            pos += 1 + raw[pos]
    return pos, pos + 4 + _LONG.unpack_from(raw, pos)[0] if flags & HEADERS_FLAG else pos


def raw_headers(raw: bytes) -> bytes:
    """Return the bytes of the headers table, without its length; empty if there is none."""
    start, stop = headers_place(raw)
    return raw[start + 4 : stop]


def encode_properties(properties: dict[str, Any]) -> bytes:
    """Encode flags and values; names that are not properties are ignored.

    Headers may be given as the bytes of a table, without its length.
    """
    flags = 0
    out = bytearray()
    for flag, name, wire_type in _FLAGS:
        value = properties.get(name)
        if value is None:
            continue
        flags |= flag
        if wire_type == "shortstr":
            data = value.encode("utf-8", "surrogateescape")
            out.append(len(data))
            out += data
        elif wire_type == "octet":
            out.append(value)
        elif wire_type == "table":
            is_raw = isinstance(value, bytes)
            out += _LONG.pack(len(value)) + value if is_raw else encode_table(value)
        else:
            out += _LONGLONG.pack(value)
    return _SHORT.pack(flags) + bytes(out)
