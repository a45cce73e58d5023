"""A log in memory: for ``--memory``, for tests, and the shortest reading of what a log is.

It behaves as the embedded log does to the last detail that can be seen from outside, segments
included, so that what stands on it is tested with trimming and dropping.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from typing import TYPE_CHECKING, Final, TypeVar
from uuid import UUID, uuid4

from anyio.lowlevel import checkpoint

from amqpbroker.storage.batch import OWNER_SIZE_MAX
from amqpbroker.storage.log import (
    AppendRejected,
    Batch,
    Extent,
    Fenced,
    Offset,
    SegmentExtent,
    Truncated,
)
from amqpbroker.storage.ranges import Ranges

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

T = TypeVar("T")

BATCH_SIZE_MAX: Final = 8 * 1024 * 1024
"""Bytes, default of all local backends: far above a group commit, small to hold in memory."""

SEGMENT_SIZE: Final = 16 * 1024 * 1024
"""Bytes, default of all local backends: what is given back at once when its messages are gone."""

OVERHEAD: Final = 64
"""Bytes that a batch counts for beside its records."""


def wall_clock_ms() -> int:
    """Return milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def check_records(records: Sequence[bytes], batch_size_max: int) -> int:
    """Return the sum of the sizes; raise what `Writer.append` promises for no batch at all."""
    if not records:
        raise ValueError("a batch has one record at least")
    size = sum(map(len, records))
    if size > batch_size_max:
        raise AppendRejected(f"a batch of {size} bytes, at most {batch_size_max} are allowed")
    return size


def check_owner(owner: str) -> int:
    """Return the size of the owner in bytes; raise ValueError where it does not fit."""
    size = len(owner.encode())
    if size > OWNER_SIZE_MAX:
        raise ValueError(f"the owner has more than {OWNER_SIZE_MAX} bytes")
    return size


def check_end(after: Offset, last: Offset, epoch: int, last_epoch: int) -> None:
    """Raise Fenced unless a fence may happen; see `Log.fence`."""
    if after != last:
        raise Fenced(f"the log ends at {last}, not at {after}")
    if epoch <= last_epoch:
        raise Fenced(f"epoch {last_epoch} owns the log, {epoch} is not higher")


class _Segment:
    def __init__(self, first: Offset) -> None:
        self.first = first
        self.batches: list[Batch] = []
        self.size = 0


class MemoryLog:
    """See `log.SegmentedLog`. Nothing is durable, everything else holds."""

    def __init__(
        self,
        *,
        batch_size_max: int = BATCH_SIZE_MAX,
        segment_size: int = SEGMENT_SIZE,
        now_ms: Callable[[], int] = wall_clock_ms,
        incarnation: UUID | None = None,
    ) -> None:
        self.batch_size_max = batch_size_max
        self._segment_size = segment_size
        self._now_ms = now_ms
        self._incarnation = incarnation or uuid4()
        self._segments = [_Segment(0)]
        self._gone = Ranges()
        self._last = -1
        self._epoch = 0
        self._writer: MemoryWriter | None = None

    async def extent(self) -> Extent:
        """See `log.Log.extent`."""
        await checkpoint()
        return Extent(self._gone.skip(0), self._last, self._incarnation)

    async def read(self, start: Offset, stop: Offset | None = None) -> AsyncIterator[Batch]:
        """See `log.Log.read`."""
        stop = self._last + 1 if stop is None else min(stop, self._last + 1)
        await checkpoint()
        offset = start
        while True:
            first = self._gone.skip(0)
            if offset < first:
                raise Truncated(offset, first)
            offset = self._gone.skip(offset)
            if offset >= stop:
                return
            yield self._batch_at(offset)
            offset += 1

    def read_now(self, start: Offset) -> Sequence[Batch]:
        """See `log.SegmentedLog.read_now`."""
        first = self._gone.skip(0)
        if start < first:
            raise Truncated(start, first)
        offset = self._gone.skip(start)
        return [self._batch_at(offset)] if offset <= self._last else []

    async def run_aside(self, job: Callable[[], T]) -> T:
        """See `log.SegmentedLog.run_aside`."""
        await checkpoint()
        return job()

    async def fence(self, *, after: Offset, epoch: int, owner: str) -> MemoryWriter:
        """See `log.Log.fence`."""
        check_owner(owner)
        await checkpoint()
        check_end(after, self._last, epoch, self._epoch)
        self._epoch = epoch
        self.land((), owner)
        self._writer = MemoryWriter(self)
        return self._writer

    async def trim(self, before: Offset) -> None:
        """See `log.Log.trim`."""
        await self.drop(0, before)

    def segments(self) -> Sequence[SegmentExtent]:
        """See `log.SegmentedLog.segments`."""
        return [
            SegmentExtent(s.first, s.first + len(s.batches) - 1, s.size)
            for s in self._segments
            if s.batches
        ]

    def active(self) -> SegmentExtent:
        """Return the segment that is written to. Raises IndexError: there is none yet."""
        return self.segments()[-1]

    async def offset_for_time(self, timestamp_ms: int) -> Offset | None:
        """Return the first offset whose batch is not older than ``timestamp_ms``, or None."""
        await checkpoint()
        for segment in self._segments:
            for batch in segment.batches:
                if batch.timestamp_ms >= timestamp_ms:
                    return batch.offset
        return None

    def dropped(self) -> Sequence[range]:
        """See `log.SegmentedLog.dropped`."""
        return [item for item in self._gone if item.start > 0]

    async def drop(self, start: Offset, stop: Offset) -> None:
        """See `log.SegmentedLog.drop`."""
        await checkpoint()
        for segment in self._segments[:-1]:
            end = segment.first + len(segment.batches)
            if start <= segment.first and end <= stop:
                self._gone = self._gone.add(segment.first, end)
                self._segments.remove(segment)

    async def close(self) -> None:
        """See `log.SegmentedLog.close`."""
        await checkpoint()
        self._writer = None

    def owned_by(self, writer: MemoryWriter) -> bool:
        """Return whether ``writer`` is the one that may append."""
        return self._writer is writer

    def land(self, records: Sequence[bytes], owner: str | None = None) -> Offset:
        """Append without a question: the part of an append that cannot fail."""
        size = OVERHEAD + sum(map(len, records))
        segment = self._segments[-1]
        self._last += 1
        if segment.batches and segment.size + size > self._segment_size:
            segment = _Segment(self._last)
            self._segments.append(segment)
        segment.batches.append(Batch(self._last, self._epoch, self._now_ms(), list(records), owner))
        segment.size += size
        return self._last

    def _batch_at(self, offset: Offset) -> Batch:
        index = bisect_right(self._segments, offset, key=lambda segment: segment.first) - 1
        segment = self._segments[index]
        return segment.batches[offset - segment.first]


class MemoryWriter:
    """See `log.Writer`."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self._is_appending = False

    async def append(self, records: Sequence[bytes]) -> Offset:
        """See `log.Writer.append`."""
        check_records(records, self._log.batch_size_max)
        if self._is_appending:
            raise RuntimeError("one append at a time")
        self._is_appending = True
        try:
            await checkpoint()
        finally:
            self._is_appending = False
        if not self._log.owned_by(self):
            raise Fenced("somebody else writes this log")
        return self._log.land(records)
