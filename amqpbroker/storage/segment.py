"""One segment file: its name, its head, and the walk over its batches. No I/O here.

::

    00000000000000000042.log      20 digits: the offset of its first batch, the base

     0                8        12       14  16         24       32           40
    +----------------+--------+--------+---+----------+--------+------------+
    | "amqpblog"     | crc32c | format | 0 | base     | epoch  | created_ms |
    +----------------+--------+--------+---+----------+--------+------------+
     40                       56       60            68                     84    96
    +------------------------+--------+-------------+----------------------+-----+
    | incarnation            | key id | check bytes | salt                 |  0  | batches …
    +------------------------+--------+-------------+----------------------+-----+

Every later format keeps size, magic, checksum and format of the head where they are, so that the
future is told from damage. ``epoch`` is the one in force when the segment began. Key id 0: not
encrypted. The last segment is the *active* one, longer than its batches: the rest is zeros,
reserved ahead.

**Which batches count.** A segment holds the offsets from its base up to the base of the next one,
less those the manifest calls gone. Batches beyond the next base can stand at the end: after a
failed fsync the file is left alone and its doubtful tail is written again into a new segment.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

from amqpbroker.storage.batch import MAGIC, Damaged, Header, decode_header, verify
from amqpbroker.storage.crc32c import extend
from amqpbroker.storage.encryption import CHECK_SIZE, NO_KEY, SALT_SIZE
from amqpbroker.storage.manifest import FORMAT_VERSION, NewerFormat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from amqpbroker.storage.log import Offset
    from amqpbroker.storage.ranges import Ranges

SEGMENT_MAGIC: Final = b"amqpblog"
HEAD_SIZE: Final = 96

LOG_SUFFIX: Final = ".log"
INDEX_SUFFIX: Final = ".index"
TIME_INDEX_SUFFIX: Final = ".timeindex"

_HEAD: Final = struct.Struct(f"<8sIHHQQQ16sI{CHECK_SIZE}s{SALT_SIZE}s12x")
_CRC_END: Final = 12
_NAME_DIGITS: Final = 20


class SegmentHead(NamedTuple):
    """The fixed start of a segment file."""

    base: Offset
    epoch: int
    created_ms: int
    incarnation: UUID
    key_id: int = NO_KEY
    check: bytes = bytes(CHECK_SIZE)
    salt: bytes = bytes(SALT_SIZE)


class Walk(NamedTuple):
    """What `walk` found: the good batches, and why and where it stopped.

    ``damage`` is None when it came to ``stop``, to the end of the data or to zeros.
    ``end`` is the position behind the last good batch, ``expected`` the offset due there.
    """

    batches: list[tuple[int, Header]]
    end: int
    expected: Offset
    damage: str | None


def segment_name(base: Offset, suffix: str = LOG_SUFFIX) -> str:
    """Return the name of the file of a segment."""
    return f"{base:0{_NAME_DIGITS}}{suffix}"


def base_of(name: str) -> Offset | None:
    """Return the base in the name of a segment file; None for any other file."""
    stem, dot, suffix = name.partition(".")
    if dot + suffix != LOG_SUFFIX or len(stem) != _NAME_DIGITS or not stem.isdecimal():
        return None
    return int(stem)


def encode_head(head: SegmentHead) -> bytes:
    """Return the head as it stands on disk."""
    data = _HEAD.pack(
        SEGMENT_MAGIC, 0, FORMAT_VERSION, 0, head.base, head.epoch, head.created_ms,
        head.incarnation.bytes, head.key_id, head.check, head.salt,
    )  # fmt: skip
    crc = extend(0, data[_CRC_END:])
    return data[: _CRC_END - 4] + crc.to_bytes(4, "little") + data[_CRC_END:]


def decode_head(data: bytes) -> SegmentHead:
    """Return what `encode_head` was given; raise Damaged or NewerFormat."""
    if len(data) < HEAD_SIZE:
        raise Damaged("the file ends in its head")
    magic, crc, version, _, *fields = _HEAD.unpack_from(data)
    if magic != SEGMENT_MAGIC:
        raise Damaged("not a segment of a log")
    if crc != extend(0, data[_CRC_END:HEAD_SIZE]):
        raise Damaged("wrong checksum on the head of the segment")
    if version > FORMAT_VERSION:
        raise NewerFormat(version)
    base, epoch, created_ms, incarnation, key_id, check, salt = fields
    return SegmentHead(base, epoch, created_ms, UUID(bytes=incarnation), key_id, check, salt)


def walk(
    data: bytes, expected: Offset, stop: Offset, *, seed: int, gone: Ranges, position: int = 0
) -> Walk:
    """Verify the batches of ``data`` from ``position``, ``expected`` ≤ offset < ``stop``."""
    batches: list[tuple[int, Header]] = []
    epoch = 0
    damage = None
    expected = gone.skip(expected)
    while expected < stop and position < len(data):
        try:
            header = decode_header(data, position)
            verify(header, data, position, seed)
            check_order(header, expected, epoch)
        except Damaged as error:
            damage = None if is_blank(data, position) else str(error)
            break
        batches.append((position, header))
        position += header.total_size
        epoch = header.epoch
        expected = gone.skip(header.offset + 1)
    return Walk(batches, position, expected, damage)


def check_order(header: Header, expected: Offset, epoch: int) -> None:
    """Raise Damaged where a sound batch stands at the wrong place."""
    if header.offset != expected:
        raise Damaged(f"offset {header.offset} where {expected} is due")
    if header.epoch < epoch:
        raise Damaged(f"epoch {header.epoch} after epoch {epoch} at offset {header.offset}")


def batches_behind(data: bytes, position: int, seed: int) -> Iterator[tuple[int, Header]]:
    """Yield the sound batches anywhere behind ``position``: those that survived a damage."""
    position = data.find(MAGIC, position + 1)
    while position >= 0:
        step = 1
        try:
            header = decode_header(data, position)
            verify(header, data, position, seed)
        except Damaged:
            pass
        else:
            yield position, header
            step = header.total_size
        position = data.find(MAGIC, position + step)


def is_blank(data: bytes, position: int) -> bool:
    """Return whether nothing but zeros stands from ``position`` on."""
    return data.count(0, position) == len(data) - position
