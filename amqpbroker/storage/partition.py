"""Numbered messages in a segmented log that keeps them: a stream, and later a topic partition.

A log numbers batches, a partition numbers messages: from 0, dense, never reused. A record is a run
of messages that share everything but their bodies (`shard_record.EnqueueRecord` without queues);
``first`` is the offset of the first. How a message is found again::

    message offset ─ bisect the segments (in memory) ─ bisect the batches of one ─▶ batch
    time           ─ time index of the log ─▶ batch ─ walk on ─▶ message offset

There is no third index to keep true: the batches are dense, so they can be bisected on the disk.

A partition opens its log when it is first needed and `close` lets go of it (threads, descriptors,
lock); ``first`` and ``next`` stay known. It takes its log over (`Log.fence`) before it first
appends, so one that is only read never writes.

Deleting goes by segments, the oldest first. The last segment that holds a message stays whatever
its age and size: it says which offset is next.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import anyio

from amqpbroker.storage.log import AppendTimeout, Corrupt, Fenced, SegmentedLog, Writer
from amqpbroker.storage.shard_record import BadRecord, EnqueueRecord, decode, encode_enqueue

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from amqpbroker.storage.log import Batch, Offset, SegmentExtent

SCANNED_COUNT: Final = 16
"""Batches that are rather read in a row than bisected."""


class PartitionLog(SegmentedLog, Protocol):
    """What a partition asks of a log beyond `SegmentedLog`."""

    async def offset_for_time(self, timestamp_ms: int) -> Offset | None:
        """Return the first batch that is not older than ``timestamp_ms``, None if none is."""
        ...

    def active(self) -> SegmentExtent:
        """Return the segment that is written to. Raises IndexError: there is none yet."""
        ...


class Piece(NamedTuple):
    """The messages of one batch."""

    batch: Offset
    records: Sequence[EnqueueRecord]

    @property
    def first(self) -> int:
        """The offset of the first message."""
        return self.records[0].first

    @property
    def next(self) -> int:
        """The offset behind the last message."""
        return end_of(self.records[-1])


class _Mark(NamedTuple):
    """A segment that holds messages: its first batch with some, the first of them, its time."""

    segment: Offset
    batch: Offset
    message: int
    timestamp_ms: int


def end_of(record: EnqueueRecord) -> int:
    """Return the offset behind the last message of a record."""
    return record.first + record.message_count


def pieces_of(batch: Batch) -> Piece:
    """Decode a batch with records; raise Corrupt where they are no messages."""
    records = []
    try:
        for data in batch.records:
            record = decode(data)
            if not isinstance(record, EnqueueRecord):
                raise BadRecord("a record without messages")
            records.append(record)
    except BadRecord as error:
        raise Corrupt(f"batch {batch.offset}", None, str(error)) from error
    return Piece(batch.offset, records)


class Partition:
    """See the module. All of it runs in one event loop; one task appends at a time."""

    def __init__(self, open_log: Callable[[], Awaitable[PartitionLog]], owner: str) -> None:
        """``open_log`` opens the log, making it if it is new; ``owner``: see `Log.fence`."""
        self.first = 0
        """The oldest message that is there; ``next`` if there is none."""
        self.next = 0
        """What the next message will be."""
        self._open_log = open_log
        self._owner = owner
        self._log: PartitionLog | None = None
        self._writer: Writer | None = None
        self._opening = anyio.Lock()
        self._marks: list[_Mark] = []

    @property
    def is_open(self) -> bool:
        """Whether it holds on to files."""
        return self._log is not None

    async def open(self) -> PartitionLog:
        """Open the log if it is not, and find out what it holds. Raises LogError."""
        async with self._opening:
            if self._log is None:
                log = await self._open_log()
                try:
                    await self._look_through(log)
                except BaseException:
                    with anyio.CancelScope(shield=True):
                        await log.close()
                    raise
                self._log = log
            return self._log

    async def close(self) -> None:
        """Let go of the log; it is opened again when needed."""
        async with self._opening:
            log, self._log, self._writer = self._log, None, None
            if log is not None:
                await log.close()

    async def _look_through(self, log: PartitionLog) -> None:
        extent = await log.extent()
        marks = []
        for segment in log.segments():
            piece = await _first_piece(log, segment.first, segment.last + 1)
            if piece is not None:
                first = piece.records[0]
                marks.append(_Mark(segment.first, piece.batch, first.first, first.timestamp_ms))
        self._marks = marks
        if not marks:
            return
        self.first = marks[0].message
        for number in range(extent.last, marks[-1].batch - 1, -1):
            piece = await _first_piece(log, number, number + 1)
            if piece is not None:
                self.next = piece.next
                return

    # in

    async def append(self, records: Sequence[EnqueueRecord]) -> Piece:
        """Append runs of messages, numbered from ``next`` on, as one batch: all or nothing.

        Raises AppendRejected (nothing was written, try again), AppendTimeout, Fenced,
        LogUnavailable, Corrupt.
        """
        log = await self.open()
        assert records[0].first == self.next
        if self._writer is None:
            self._writer = await self._take_over(log)
        try:
            batch = await self._writer.append([encode_enqueue(record) for record in records])
        except (AppendTimeout, Fenced):
            self._writer = None
            raise
        segment = log.active().first
        if not self._marks or self._marks[-1].segment != segment:
            first = records[0]
            self._marks.append(_Mark(segment, batch, first.first, first.timestamp_ms))
        self.next = end_of(records[-1])
        return Piece(batch, records)

    async def _take_over(self, log: PartitionLog) -> Writer:
        extent = await log.extent()
        epoch = 0
        if extent.last >= extent.first:
            async with aclosing(_read(log, extent.last, extent.last + 1)) as batches:
                async for batch in batches:
                    epoch = batch.epoch
        return await log.fence(after=extent.last, epoch=epoch + 1, owner=self._owner)

    # out

    async def locate(self, offset: int) -> Offset:
        """Return a batch from which on message ``offset`` is soon found; not too far on."""
        log = await self.open()
        marks = self._marks
        place = bisect_right(marks, offset, key=lambda mark: mark.message) - 1
        if place < 0:
            return marks[0].batch if marks else (await log.extent()).last + 1
        low = marks[place].batch
        high = (await log.extent()).last + 1
        if place + 1 < len(marks):
            high = marks[place + 1].segment
        while high - low > SCANNED_COUNT:
            middle = (low + high) // 2
            piece = await _first_piece(log, middle, high)
            if piece is not None and piece.first <= offset:
                low = piece.batch
            else:
                high = middle
        return low

    async def offset_at_time(self, timestamp_ms: int) -> int:
        """Return the first message that is not older than ``timestamp_ms``, ``next`` if none is."""
        log = await self.open()
        batch = await log.offset_for_time(timestamp_ms)
        if batch is not None:
            async with aclosing(self.read(batch)) as pieces:
                async for piece in pieces:
                    young = [item for item in piece.records if item.timestamp_ms >= timestamp_ms]
                    if young:
                        return young[0].first
        return self.next

    async def read(self, batch: Offset) -> AsyncGenerator[Piece, None]:
        """Yield the messages from ``batch`` on, up to the last that was there at the beginning.

        Raises Truncated (``batch`` was deleted; start again at ``first``), Corrupt, LogUnavailable.
        """
        log = await self.open()
        async with aclosing(_read(log, batch, None)) as batches:
            async for item in batches:
                if item.records:
                    yield pieces_of(item)

    # deleting

    async def retain(self, *, size: int | None, age_ms: int | None, now_ms: int) -> int:
        """Delete segments beyond ``size`` bytes in all, or wholly older than ``age_ms``.

        Returns how many messages that were. Raises LogUnavailable.
        """
        log = await self.open()
        marks = self._marks
        if len(marks) < 2:
            return 0
        gone = 0
        if size is not None:
            gone = _beyond_size(log.segments(), marks, size)
        if age_ms is not None:
            while gone + 1 < len(marks) and marks[gone + 1].timestamp_ms + age_ms <= now_ms:
                gone += 1
        if not gone:
            return 0
        await log.drop(0, marks[gone].segment)
        before = self.first
        del self._marks[:gone]
        self.first = self._marks[0].message
        return self.first - before

    def oldest_until_ms(self) -> int | None:
        """Return when the oldest segment got its last message, at the latest; None: it still may.

        It is wholly older than an age once that much time has passed since.
        """
        return self._marks[1].timestamp_ms if len(self._marks) > 1 else None

    @property
    def segment_count(self) -> int:
        """Segments that hold messages."""
        return len(self._marks)


def _read(log: PartitionLog, start: Offset, stop: Offset | None) -> AsyncGenerator[Batch, None]:
    """Return `Log.read` as what it is, so that it can be closed before its end."""
    batches = log.read(start, stop)
    assert isinstance(batches, AsyncGenerator)
    return batches


async def _first_piece(log: PartitionLog, start: Offset, stop: Offset) -> Piece | None:
    """Return the first batch with messages of ``start`` ≤ batch < ``stop``, None if none is."""
    async with aclosing(_read(log, start, stop)) as batches:
        async for batch in batches:
            if batch.records:
                return pieces_of(batch)
    return None


def _beyond_size(segments: Sequence[SegmentExtent], marks: Sequence[_Mark], size: int) -> int:
    """Return how many of the oldest segments must go so that the rest has at most ``size`` bytes.

    All but the newest may have to.
    """
    sizes = {segment.first: segment.size for segment in segments}
    total = sum(sizes.values())
    gone = 0
    while total > size and gone + 1 < len(marks):
        total -= sizes[marks[gone].segment]
        gone += 1
    return gone
