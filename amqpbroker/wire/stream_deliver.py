"""Deliveries of streams: the stored properties with one header added, ``x-stream-offset``.

Every message has its own offset, so its content header is its own too. All of it but eight bytes
is the same for a run of messages (see ``content`` for the other pieces)::

    head | tag | redelivered, exchange, key, CE, header frame up to … | offset | … the rest | body

The header is a signed 64-bit integer (T5) and takes the place of one of that name.
"""

from __future__ import annotations

import struct
from itertools import chain, repeat
from typing import TYPE_CHECKING, Final

from amqpbroker.wire.constants import CLASS_BASIC, FRAME_OVERHEAD_SIZE
from amqpbroker.wire.content import body_frames
from amqpbroker.wire.properties import HEADERS_FLAG, headers_place
from amqpbroker.wire.table import edit_table

if TYPE_CHECKING:
    from collections.abc import Sequence

OFFSET_HEADER: Final = "x-stream-offset"

_FIELD: Final = b"\x0fx-stream-offsetl"
_FRAME: Final = struct.Struct(">BHI")
_CONTENT: Final = struct.Struct(">HHQ")
_DELIVER: Final = struct.Struct(">BHIHHB")
_TAG: Final = struct.Struct(">Q")
_OFFSET: Final = struct.Struct(">q")
_LONG: Final = struct.Struct(">I")
_SHORT: Final = struct.Struct(">H")
_END: Final = b"\xce"


def around_offset(raw_properties: bytes) -> tuple[bytes, bytes]:
    """Return encoded properties with the offset's header, without its eight bytes: before, after.

    ``raw_properties`` are such as have been decoded.
    """
    start, stop = headers_place(raw_properties)
    table = raw_properties[start + 4 : stop]
    if _FIELD[:-1] in table:  # perhaps the header, perhaps the same bytes in another
        table = edit_table(table, {OFFSET_HEADER}, {})
    flags = _SHORT.unpack_from(raw_properties)[0] | HEADERS_FLAG
    size = len(table) + len(_FIELD) + _OFFSET.size
    before = b"%b%b%b%b%b" % (
        _SHORT.pack(flags), raw_properties[2:start], _LONG.pack(size), table, _FIELD
    )  # fmt: skip
    return before, raw_properties[stop:]


class StreamEncoder:
    """Writes basic.deliver and its content for one consumer of a stream."""

    __slots__ = ("_after", "_before", "_frame_size_max", "_head", "_kind", "_number", "_tag")

    def __init__(self, number: int, consumer_tag: str, frame_size_max: int) -> None:
        self._number = number
        tag = consumer_tag.encode("utf-8", "surrogateescape")
        self._tag = bytes((len(tag),)) + tag
        self._frame_size_max = frame_size_max
        self._kind: tuple[bytes, bytes, bytes, int] | None = None
        self._head = self._before = self._after = b""

    def prepare(self, exchange: bytes, routing_key: bytes, raw: bytes, body_size: int) -> int:
        """Be ready for a run; return the bytes that one delivery takes (in a single frame)."""
        kind = (exchange, routing_key, raw, body_size)
        if kind != self._kind:
            self._set_kind(kind)
        return len(self._head) + 16 + len(self._before) + len(self._after) + body_size + 1

    def deliver_run(
        self, out: list[bytes], first_tag: int, first_offset: int, bodies: Sequence[bytes]
    ) -> None:
        """Append deliveries of the prepared run; tags and offsets count up."""
        count = len(bodies)
        assert self._kind is not None
        tags = map(_TAG.pack, range(first_tag, first_tag + count))
        offsets = map(_OFFSET.pack, range(first_offset, first_offset + count))
        if 0 < self._kind[3] <= self._frame_size_max - FRAME_OVERHEAD_SIZE:
            ends, contents = repeat(_END), bodies
        else:
            ends = repeat(b"")
            contents = [body_frames(self._number, body, self._frame_size_max) for body in bodies]
        pieces = zip(
            repeat(self._head), tags, repeat(self._before), offsets, repeat(self._after),
            contents, ends,
        )  # fmt: skip
        out.extend(chain.from_iterable(pieces))

    def _set_kind(self, kind: tuple[bytes, bytes, bytes, int]) -> None:
        exchange, key, raw, body_size = kind
        size = 4 + len(self._tag) + 8 + 1 + 1 + len(exchange) + 1 + len(key)
        head = _DELIVER.pack(1, self._number, size, CLASS_BASIC, 60, self._tag[0])
        before, after = around_offset(raw)
        self._head = head + self._tag[1:]
        self._before = b"\0%c%b%c%b\xce%b%b%b" % (
            len(exchange), exchange, len(key), key,
            _FRAME.pack(2, self._number, 12 + len(before) + _OFFSET.size + len(after)),
            _CONTENT.pack(CLASS_BASIC, 0, body_size), before,
        )  # fmt: skip
        self._after = after + _END
        if 0 < body_size <= self._frame_size_max - FRAME_OVERHEAD_SIZE:
            self._after += _FRAME.pack(3, self._number, body_size)
        self._kind = kind
