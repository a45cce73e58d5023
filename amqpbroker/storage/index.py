"""Where in a segment is an offset, where a time: sparse, beside the segment, and expendable.

::

    00000000000000000042.index        offset → position of that batch
    00000000000000000042.timeindex    the highest timestamp before an offset → that offset

     0          8        12      16      24       32       48
    +----------+--------+-------+-------+--------+--------+- - - - - - -+- - - - - - -+
    | magic    | crc32c | count | base  | covers | salt   | count keys  | count values|
    +----------+--------+-------+-------+--------+--------+- - - - - - -+- - - - - - -+

There is an entry every few KiB. A lookup takes the *floor*, the last entry at or below what is
asked for, and the reader walks on from there. The index of the active segment is in memory only;
the files are written when a segment is full, unsynced: ``covers`` (the size of the segment then),
``salt`` (the segment's own) and the checksum tell a stale or torn index, which is then built anew
from the segment.

Timestamps may go back, so the time index keys on the running maximum: all batches before an entry
are older than any time above its key. Its last entry points behind the segment and so tells the
highest timestamp in it.
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Final

from amqpbroker.storage.batch import Damaged
from amqpbroker.storage.crc32c import extend

if TYPE_CHECKING:
    from amqpbroker.storage.log import Offset
    from amqpbroker.storage.segment import SegmentHead

INDEX_MAGIC: Final = b"amqpbix\x01"
TIME_INDEX_MAGIC: Final = b"amqpbti\x01"

_HEAD: Final = struct.Struct("<8sIIQQ16s")
_CRC_END: Final = 12


class SparseIndex:
    """Pairs of a key and a value, keys never falling."""

    __slots__ = ("keys", "values")

    def __init__(self) -> None:
        self.keys = array("Q")
        self.values = array("Q")

    def add(self, key: int, value: int) -> None:
        """Append a pair. The value first: a reader in another thread looks at the keys."""
        self.values.append(value)
        self.keys.append(key)

    def floor(self, key: int) -> tuple[int, int]:
        """Return the last pair whose key is at most ``key``. Raises LookupError: there is none."""
        return self._pair(bisect_right(self.keys, key) - 1)

    def below(self, key: int) -> tuple[int, int]:
        """Return the last pair whose key is under ``key``. Raises LookupError: there is none."""
        return self._pair(bisect_left(self.keys, key) - 1)

    def _pair(self, number: int) -> tuple[int, int]:
        if number < 0:
            raise LookupError("before the first entry")
        return self.keys[number], self.values[number]


class SegmentIndex:
    """Both indexes of one segment, filled batch by batch."""

    __slots__ = ("_interval", "_next_position", "_time_max", "offsets", "times")

    def __init__(self, interval: int) -> None:
        """``interval``: bytes of segment per entry, at least."""
        self.offsets = SparseIndex()
        self.times = SparseIndex()
        self._interval = interval
        self._next_position = 0
        self._time_max = 0

    def note(self, offset: Offset, position: int, timestamp_ms: int) -> None:
        """Take in the next batch."""
        if position >= self._next_position:
            self.offsets.add(offset, position)
            self.times.add(self._time_max, offset)
            self._next_position = position + self._interval
        if timestamp_ms > self._time_max:
            self._time_max = timestamp_ms

    def finish(self, stop: Offset) -> None:
        """Note that the segment is full; ``stop`` is the base of the next one."""
        self.times.add(self._time_max, stop)


def encode_index(index: SparseIndex, magic: bytes, head: SegmentHead, covers: int) -> bytes:
    """Return the content of an index file; ``covers``: the size of the segment file."""
    pairs = _little_endian(index.keys) + _little_endian(index.values)
    data = _HEAD.pack(magic, 0, len(index.keys), head.base, covers, head.salt) + pairs
    crc = extend(0, data[_CRC_END:])
    return data[: _CRC_END - 4] + crc.to_bytes(4, "little") + data[_CRC_END:]


def decode_index(data: bytes, magic: bytes, head: SegmentHead, covers: int) -> SparseIndex:
    """Return the index in a file; raise Damaged where it is torn, stale or of another segment."""
    if len(data) < _HEAD.size:
        raise Damaged("the index is cut short")
    found_magic, crc, count, *rest = _HEAD.unpack_from(data)
    if found_magic != magic or crc != extend(0, data[_CRC_END:]):
        raise Damaged("wrong checksum on the index")
    if rest != [head.base, covers, head.salt] or len(data) != _HEAD.size + 16 * count:
        raise Damaged("the index is stale")
    index = SparseIndex()
    middle = _HEAD.size + 8 * count
    index.keys.frombytes(data[_HEAD.size : middle])
    index.values.frombytes(data[middle:])
    if sys.byteorder == "big":
        index.keys.byteswap()
        index.values.byteswap()
    return index


def _little_endian(numbers: array[int]) -> bytes:
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()
