"""All streams of a broker: where they are stored, and what is done for them in the background.

Nothing a client says waits for a stream's disk. What must be read, deleted or closed is a job here;
an idle stream has none, no timer and no file.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Protocol

import anyio

from amqpbroker.storage.catalog import CatalogError
from amqpbroker.storage.log import LogError
from amqpbroker.storage.memory import MemoryLog
from amqpbroker.storage.partition import Partition

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from anyio.abc import TaskGroup

    from amqpbroker.broker.journal import Journal
    from amqpbroker.broker.stream import Stream
    from amqpbroker.broker.stream_queue import StreamQueue
    from amqpbroker.broker.timers import Timers
    from amqpbroker.storage.partition import PartitionLog

logger = logging.getLogger("amqpbroker.stream")

IDLE_S: Final = 30.0
"""After that time without use a stream's files are closed."""
OPEN_COUNT_MAX: Final = 256
"""Streams with open files, two each, besides those that are just being used."""
SEGMENT_SIZE: Final = 16 << 20
"""Bytes, where neither the queue nor a policy says anything."""
SEGMENT_SIZE_MIN: Final = 4 << 10
SEGMENT_SIZE_MAX: Final = 64 << 20
"""Smaller than RabbitMQ's: the last segment is read when a stream is opened."""
BATCH_SIZE_MAX: Final = 1 << 30


class Storage(Protocol):
    """Where streams are stored, by number."""

    async def open(self, number: int, segment_size: int) -> PartitionLog:
        """Open the log of a stream; it is made if it is not there. Raises LogError."""
        ...

    async def remove(self, number: int) -> None:
        """Delete the log of a stream, which is closed; nothing where there is none."""
        ...

    async def numbers(self) -> list[int]:
        """Return the numbers of all that are there."""
        ...

    async def load_tracked(self, number: int) -> bytes:
        """Return what was stored last beside a stream, ``{}`` if nothing. Raises LogUnavailable."""
        ...

    async def store_tracked(self, number: int, data: bytes) -> None:
        """Store a few bytes beside a stream. Raises LogUnavailable."""
        ...

    def close(self) -> None:
        """Let go of threads."""
        ...


class MemoryStorage:
    """Streams that are gone with the process."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms

    async def open(self, number: int, segment_size: int) -> PartitionLog:
        """See `Storage.open`; asked once, for such a stream is never closed."""
        return MemoryLog(
            segment_size=segment_size, batch_size_max=BATCH_SIZE_MAX, now_ms=self._now_ms
        )

    async def remove(self, number: int) -> None:
        """See `Storage.remove`."""

    async def numbers(self) -> list[int]:
        """See `Storage.numbers`."""
        return []

    async def load_tracked(self, number: int) -> bytes:
        """See `Storage.load_tracked`; never asked, nothing outlives the process."""
        return b"{}"

    async def store_tracked(self, number: int, data: bytes) -> None:
        """See `Storage.store_tracked`."""

    def close(self) -> None:
        """See `Storage.close`."""


class Streams:
    """See the module."""

    def __init__(self, timers: Timers, flush: Callable[[], None]) -> None:
        self.timers = timers
        self.flush = flush
        """Ends a batch of the broker."""
        self.storage: Storage = MemoryStorage(timers.wall_ms)
        self.idle_s = IDLE_S
        self.segment_size = SEGMENT_SIZE
        """See ``SEGMENT_SIZE``."""
        self.journal: Journal | None = None
        """Whose commits carry what is staged; None: jobs do."""
        self._streams: dict[Stream, None] = {}
        self._open: dict[Stream, None] = {}
        """Those that may have open files, the last used is last."""
        self._jobs: list[Callable[[], Awaitable[None]]] = []
        """For when ``run`` begins."""
        self._tasks: TaskGroup | None = None

    @property
    def is_volatile(self) -> bool:
        """Whether nothing is on a disk."""
        return isinstance(self.storage, MemoryStorage)

    def partition_of(self, stream: Stream) -> Partition:
        """Return where the messages of a new stream go."""
        self._streams[stream] = None

        def open_log() -> Awaitable[PartitionLog]:
            wanted = stream.settings.segment_size
            size = self.segment_size if wanted is None else wanted
            size = min(max(size, SEGMENT_SIZE_MIN), SEGMENT_SIZE_MAX)
            return self.storage.open(stream.number, size)

        return Partition(open_log, "stream")

    def note_use(self, stream: Stream) -> None:
        """Take note that a stream has been used; another may have to close its files."""
        if self.is_volatile:
            return
        self._open.pop(stream, None)
        self._open[stream] = None
        if len(self._open) > OPEN_COUNT_MAX:
            oldest = next(iter(self._open))
            del self._open[oldest]
            self.spawn(oldest.close)

    # in the background

    def spawn(self, job: Callable[[], Awaitable[None]]) -> None:
        """Have a job done soon."""
        if self._tasks is None:
            self._jobs.append(job)
        else:
            self._tasks.start_soon(_run, job)

    async def run(self) -> None:
        """Do jobs until cancelled."""
        try:
            async with anyio.create_task_group() as self._tasks:
                jobs, self._jobs = self._jobs, []
                for job in jobs:
                    self._tasks.start_soon(_run, job)
                await anyio.sleep_forever()
        finally:
            self._tasks = None

    # start and end

    async def recover(self, queues: Iterable[StreamQueue]) -> None:
        """Find out what streams hold after a restart; delete what belongs to none of them."""
        known = {}
        for queue in queues:
            known[queue.id] = queue
            await queue.stream.recover()
        for number in await self.storage.numbers():
            if number not in known:
                logger.info("deleting what is left of a deleted stream (%d)", number)
                await self.storage.remove(number)

    def remove(self, queue: StreamQueue) -> None:
        """Delete the messages of a stream once its queue is gone from the catalog for good."""
        stream = queue.stream
        stream.stop()
        self._streams.pop(stream, None)
        self._open.pop(stream, None)

        async def remove() -> None:
            try:
                if queue.definition is not None:
                    await queue.definition.wait()
            except CatalogError:  # the queue will be back after a restart
                return
            await stream.wait_until_unused()
            await stream.partition.close()
            await self.storage.remove(stream.number)

        self.spawn(remove)

    async def close(self) -> None:
        """Let go of all files; ``run`` has ended."""
        for stream in self._streams:
            try:
                await stream.store_tracked()
                await stream.partition.close()
            except LogError as error:
                logger.error("stream '%s': %s", stream.name, error)
        self.storage.close()


async def _run(job: Callable[[], Awaitable[None]]) -> None:
    """Do one job; whatever goes wrong must not reach the others."""
    try:
        await job()
    except LogError as error:
        logger.error("%s", error)
    except Exception:
        logger.exception("internal error in a job of a stream")
