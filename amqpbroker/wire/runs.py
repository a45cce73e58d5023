"""Frames that lie whole in a buffer, several found at once: the fast paths of ``connection``.

Pure functions on bytes. They find only what is regular in every way; where they find nothing, the
connection takes frame by frame, and that slow path is the whole truth.
"""

from __future__ import annotations

import struct
from typing import Final

from amqpbroker.wire.constants import (
    CLASS_BASIC,
    FRAME_BODY,
    FRAME_END,
    FRAME_HEADER,
    FRAME_METHOD,
    FRAME_OVERHEAD_SIZE,
)

_FRAME: Final = struct.Struct(">BHI")
_HEADER_FRAME: Final = struct.Struct(">BHIHHQ")
_TAG: Final = struct.Struct(">Q")
_EMPTY_HEADER_SIZE: Final = 14
"""Bytes of a content header without properties."""


def publish_frames(data: bytes, pos: int, frame_size_max: int) -> tuple[int, int, int, int] | None:
    """Find the header and the single body frame of the publish at ``pos``.

    Returns the channel, where these two start, and the end; None if the three frames are not all
    there or not quite regular.
    """
    end = len(data)
    kind, number, size = _FRAME.unpack_from(data, pos)
    header = pos + size + FRAME_OVERHEAD_SIZE
    if header + _HEADER_FRAME.size > end:
        return None
    head = _HEADER_FRAME.unpack_from(data, header)
    header_size, body_size = head[2], head[5]
    body = header + header_size + FRAME_OVERHEAD_SIZE
    stop = body + body_size + FRAME_OVERHEAD_SIZE
    is_regular = (
        stop <= end
        and kind == FRAME_METHOD
        and head == (FRAME_HEADER, number, header_size, CLASS_BASIC, 0, body_size)
        and _FRAME.unpack_from(data, body) == (FRAME_BODY, number, body_size)
        and data[header - 1] == data[body - 1] == data[stop - 1] == FRAME_END
        and _EMPTY_HEADER_SIZE <= header_size <= frame_size_max - FRAME_OVERHEAD_SIZE
        and 0 < body_size <= frame_size_max - FRAME_OVERHEAD_SIZE
        and size <= frame_size_max - FRAME_OVERHEAD_SIZE
    )
    return (number, header, body, stop) if is_regular else None


def repeated_bodies(
    data: bytes, pos: int, prefix: bytes, body_size: int
) -> tuple[list[bytes], int]:
    """Return the bodies of all whole publishes with ``prefix`` from ``pos`` on, and the end."""
    bodies: list[bytes] = []
    head_size = len(prefix)
    stride = head_size + body_size + 1
    last = len(data) - stride
    while pos <= last and data.startswith(prefix, pos):
        stop = pos + stride
        if data[stop - 1] != FRAME_END:
            break
        bodies.append(data[pos + head_size : stop - 1])
        pos = stop
    return bodies, pos


def run_of_acks(data: bytes, pos: int) -> tuple[list[int], int]:
    """Return the tags of basic.ack frames in a row from ``pos`` on, and the end."""
    head = data[pos : pos + 11]
    tags: list[int] = []
    while data.startswith(head, pos) and data[pos + 19 : pos + 21] == b"\x00\xce":
        tags += _TAG.unpack_from(data, pos + 11)
        pos += 21
    return tags, pos
