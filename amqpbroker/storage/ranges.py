"""Disjoint sorted ranges of offsets: which ones of a log are gone. Immutable, pure."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from amqpbroker.storage.log import Offset


class Ranges:
    """A set of offsets, kept as ranges. At most one range per live segment of a log, so small."""

    __slots__ = ("_ranges", "_starts")

    def __init__(self, ranges: Iterable[range] = ()) -> None:
        """Merge ``ranges``, in any order, overlapping or touching or empty."""
        merged: list[range] = []
        for item in sorted(ranges, key=lambda item: item.start):
            if not item:
                continue
            if merged and item.start <= merged[-1].stop:
                merged[-1] = range(merged[-1].start, max(item.stop, merged[-1].stop))
            else:
                merged.append(item)
        self._ranges = tuple(merged)
        self._starts = [item.start for item in merged]

    def __iter__(self) -> Iterator[range]:
        return iter(self._ranges)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and self._ranges == other._ranges

    def __hash__(self) -> int:
        return hash(self._ranges)

    def __repr__(self) -> str:
        return f"Ranges({list(self._ranges)})"

    def add(self, start: Offset, stop: Offset) -> Ranges:
        """Return these and ``start`` ≤ offset < ``stop``."""
        return Ranges((*self._ranges, range(start, stop)))

    def skip(self, offset: Offset) -> Offset:
        """Return the lowest offset from ``offset`` on that is not in here."""
        index = bisect_right(self._starts, offset) - 1
        if index >= 0 and offset < self._ranges[index].stop:
            return self._ranges[index].stop
        return offset

    def retreat(self, stop: Offset) -> Offset:
        """Return the lowest offset from which on everything below ``stop`` is in here."""
        index = bisect_right(self._starts, stop - 1) - 1
        if index >= 0 and stop <= self._ranges[index].stop:
            return self._ranges[index].start
        return stop

    def covers(self, start: Offset, stop: Offset) -> bool:
        """Return whether all of ``start`` ≤ offset < ``stop`` is in here."""
        return self.skip(start) >= stop
