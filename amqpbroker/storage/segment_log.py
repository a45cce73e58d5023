"""The embedded log: a directory of segment files, one writer thread.

::

    log = await SegmentLog.create(DirectoryDisk(path))       # once
    log = await SegmentLog.open(DirectoryDisk(path), LogOptions(fsync="always"))
    writer = await log.fence(after=(await log.extent()).last, epoch=epoch, owner="node 1")
    offset = await writer.append([b"…", b"…"])

    path/lock  manifest  00000000000000000000.log  …000.index  …000.timeindex  …

This file is the thin asynchronous skin; `segment_store` appends and deletes, `reader` reads,
`recovery` opens, `batch` and `segment` know the bytes.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID, uuid4

from amqpbroker.storage.executor import Executor, SharedExecutor, ThreadExecutor
from amqpbroker.storage.log import Batch, Extent, LogUnavailable, Offset, SegmentExtent
from amqpbroker.storage.manifest import MANIFEST_NAME, Manifest, store_manifest
from amqpbroker.storage.options import LogOptions
from amqpbroker.storage.reader import Reader, offset_for_time
from amqpbroker.storage.recovery import recover, unavailable
from amqpbroker.storage.segment import base_of
from amqpbroker.storage.segment_store import SegmentStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from amqpbroker.storage.disk import Disk

T = TypeVar("T")


class SegmentLog:
    """See `log.SegmentedLog`."""

    def __init__(self, store: SegmentStore, executor: Executor) -> None:
        """Use `open` or `create`."""
        self.batch_size_max = store.options.batch_size_max
        self._store = store
        self._executor = executor
        if isinstance(executor, ThreadExecutor | SharedExecutor):
            executor.when_idle(store.tick)

    @classmethod
    async def create(
        cls,
        disk: Disk,
        options: LogOptions | None = None,
        *,
        executor: Executor | None = None,
        incarnation: UUID | None = None,
    ) -> SegmentLog:
        """Create a log in an existing directory and open it.

        Raises LogUnavailable: there is one already, the directory is locked or not writable.
        """
        executor = executor or ThreadExecutor()
        return await cls._open(
            executor, lambda: create_store(disk, options or LogOptions(), incarnation or uuid4())
        )

    @classmethod
    async def open(
        cls,
        disk: Disk,
        options: LogOptions | None = None,
        *,
        executor: Executor | None = None,
    ) -> SegmentLog:
        """Open an existing log and recover it.

        Raises LogMissing, Corrupt, LogUnavailable (in use by another process, a newer format, a
        missing or wrong key, no permission, …). Nothing is changed in these cases.
        """
        executor = executor or ThreadExecutor()
        return await cls._open(executor, lambda: open_store(disk, options or LogOptions()))

    @property
    def incarnation(self) -> UUID:
        """Which log this is."""
        return self._store.manifest.incarnation

    async def extent(self) -> Extent:
        """See `Log.extent`."""
        await self._settled()
        return Extent(self._store.manifest.first, self._store.last, self.incarnation)

    async def read(self, start: Offset, stop: Offset | None = None) -> AsyncIterator[Batch]:
        """See `Log.read`."""
        await self._settled()
        reader = Reader(self._store, start, stop)
        while batches := await self._executor.read(reader.next_piece):
            for batch in batches:
                yield batch

    def read_now(self, start: Offset) -> Sequence[Batch]:
        """See `SegmentedLog.read_now`."""
        return Reader(self._store, start, None).next_piece()

    async def run_aside(self, job: Callable[[], T]) -> T:
        """See `SegmentedLog.run_aside`."""
        return await self._executor.read(job)

    async def offset_for_time(self, timestamp_ms: int) -> Offset | None:
        """Return the first offset whose batch is not older than ``timestamp_ms``, or None.

        Raises Corrupt, LogUnavailable.
        """
        await self._settled()
        return await self._executor.read(lambda: offset_for_time(self._store, timestamp_ms))

    async def fence(self, *, after: Offset, epoch: int, owner: str) -> SegmentWriter:
        """See `Log.fence`."""
        generation = await self._executor.write(lambda: self._store.fence(after, epoch, owner))
        return SegmentWriter(self._store, self._executor, generation)

    async def trim(self, before: Offset) -> None:
        """See `Log.trim`."""
        await self.drop(0, before)

    def segments(self) -> Sequence[SegmentExtent]:
        """See `SegmentedLog.segments`."""
        return self._store.extents()

    def active(self) -> SegmentExtent:
        """Return the segment that is written to. Raises IndexError: there is none yet."""
        segment = self._store.segments[-1]
        return SegmentExtent(segment.head.base, self._store.last, segment.end)

    def dropped(self) -> Sequence[range]:
        """See `SegmentedLog.dropped`."""
        return self._store.manifest.dropped

    async def drop(self, start: Offset, stop: Offset) -> None:
        """See `SegmentedLog.drop`."""
        await self._executor.write(lambda: self._store.drop(start, stop))

    async def close(self) -> None:
        """See `SegmentedLog.close`."""
        if not self._store.is_closed:
            await self._executor.write(self._store.close)
            self._executor.close()

    async def _settled(self) -> None:
        if self._store.needs_settling:
            await self._executor.write(self._store.settle)

    @classmethod
    async def _open(cls, executor: Executor, opening: Callable[[], SegmentStore]) -> SegmentLog:
        try:
            store = await executor.write(opening)
        except BaseException:
            executor.close()
            raise
        return cls(store, executor)


class SegmentWriter:
    """See `log.Writer`."""

    def __init__(self, store: SegmentStore, executor: Executor, generation: int) -> None:
        self._store = store
        self._executor = executor
        self._generation = generation
        self._is_appending = False

    async def append(self, records: Sequence[bytes]) -> Offset:
        """See `log.Writer.append`."""
        if self._is_appending:
            raise RuntimeError("one append at a time")
        self._is_appending = True
        try:
            return await self._executor.write(lambda: self._store.append(self._generation, records))
        finally:
            self._is_appending = False


def create_store(disk: Disk, options: LogOptions, incarnation: UUID) -> SegmentStore:
    """Create a log and open it; see `SegmentLog.create`."""
    with _locked(disk):
        names = disk.names()
        if MANIFEST_NAME in names or any(base_of(name) is not None for name in names):
            raise LogUnavailable(f"{disk.path_of('')} holds a log already")
        store_manifest(disk, Manifest(incarnation))
        return SegmentStore(disk, options, recover(disk, options))


def open_store(disk: Disk, options: LogOptions) -> SegmentStore:
    """Open an existing log; see `SegmentLog.open`."""
    with _locked(disk):
        return SegmentStore(disk, options, recover(disk, options))


@contextmanager
def _locked(disk: Disk) -> Iterator[None]:
    """Take the lock, and give it back if the body fails."""
    try:
        disk.lock()
        try:
            yield
        except BaseException:
            disk.unlock()
            raise
    except OSError as error:
        raise unavailable(disk.path_of(""), error) from error
