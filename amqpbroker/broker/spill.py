"""Transient messages beyond the memory budget: their bodies are spilled.

Nothing of a transient message is in the log, so its body is written to a log of its own that ends
with the process (`storage.scratch_log`). From then on the message is like a durable one that was
paged out: ``body`` is None, ``run`` and ``sequence`` say where it lies, and `paging` reads it back.
Offsets of that log are told from those of the other one by being complements (``~offset``).

Messages count when they stay in a queue: consecutive ones of one queue share a `TransientRun`, and
count until the last of them is gone. Those that come while the budget is exceeded are staged, and
written when there is enough for a batch; what is gone by then is not written. Whatever cannot be
written stays in memory, as if there were no budget.

A segment is deleted when nothing in it is alive, and the whole log when nothing is spilled at all.
"""

from __future__ import annotations

import logging
from itertools import groupby, pairwise
from operator import attrgetter
from sys import getrefcount
from typing import TYPE_CHECKING, Final
from weakref import ref

import anyio

from amqpbroker.broker.body_cache import Block
from amqpbroker.broker.message import Message
from amqpbroker.storage.log import LogError
from amqpbroker.storage.shard_record import EnqueueRecord, encode_enqueue

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from amqpbroker.broker.paging import Pager
    from amqpbroker.broker.queue import Queue
    from amqpbroker.storage.scratch_log import ScratchLog
    from amqpbroker.wire.content import Publication

logger = logging.getLogger("amqpbroker.spill")

RUN_SIZE: Final = 64 << 10
"""Bytes of bodies after which another run begins."""
BATCH_SIZE: Final = 1 << 20
"""Bytes of bodies that are worth a write."""
BATCH_FACTOR: Final = 4
"""So many times as much, and a little more, is written at a time where there is more."""
BATCH_SHARE: Final = 8
"""At most this part of the budget is waited for."""
BEHIND_FACTOR: Final = 8
"""While so many times as much is not written yet, publishers wait: memory would fill up."""
RETRY_DELAY_S: Final = 1.0
"""After a write that failed, nothing is written for so long."""

_UNHELD: Final = next(map(getrefcount, [object()]))
"""The references of what nobody holds but one list."""


class TransientRun:
    """Transient messages that count together, in memory or spilled together."""

    __slots__ = (
        "__weakref__", "_pager", "memory_size", "offset", "paged_size", "queue", "segment",
    )  # fmt: skip

    def __init__(self, pager: Pager, queue: Queue | None = None) -> None:
        self._pager = pager
        self.queue = queue
        """Where they are, if they came one after the other."""
        self.memory_size = 0
        """Bytes of bodies that count for the memory budget."""
        self.paged_size = 0
        """Bytes of bodies that were spilled."""
        self.offset = -1
        """The complement of where they were spilled to."""
        self.segment: _Segment | None = None

    def __del__(self) -> None:
        pager = self._pager
        pager.size -= self.memory_size
        pager.paged_size -= self.paged_size
        if self.segment is not None:
            self.segment.leave()


def _none() -> None:
    return None


class _Segment:
    """What is alive in a segment."""

    __slots__ = ("_when_dead", "run_count")

    def __init__(self, when_dead: Callable[[], None]) -> None:
        self._when_dead = when_dead
        self.run_count = 0

    def leave(self) -> None:
        self.run_count -= 1
        if not self.run_count:
            self._when_dead()


class Spill:
    """The transient messages of a broker, as far as they count; ``log`` is None: none does."""

    def __init__(
        self,
        pager: Pager,
        log: ScratchLog | None,
        *,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._pager = pager
        self._log = log
        self._sleep = sleep
        self.batch_size = min(BATCH_SIZE, pager.limit // BATCH_SHARE)
        """See ``BATCH_SIZE``."""
        self._last: Callable[[], TransientRun | None] = _none
        """The run of the last messages, while there is any of them."""
        self._staged: list[Message] = []
        self._staged_size = 0
        self._written_size = 0
        """Bytes of bodies that are being written, or will be next."""
        self.is_behind = False
        """Whether messages come faster than they can be written."""
        self._caught_up = anyio.Event()
        self._is_paused = log is None
        """Whether messages stay in memory for now."""
        self._segments: dict[int, _Segment] = {}
        """By their first offsets, in order; the last one is written to."""
        self._work = anyio.Event()
        self._has_complained = False

    # in memory

    def take(
        self, queue: Queue, publication: Publication, bodies: Sequence[bytes]
    ) -> list[Message]:
        """Return messages that come to a queue to stay, counted."""
        if self._log is None:
            return [Message(publication, body) for body in bodies]
        run, pager = self._last(), self._pager
        size = publication.body_size * len(bodies)
        pager.size += size
        if run is None or run.queue is not queue or run.memory_size >= RUN_SIZE or pager.is_over:
            run = TransientRun(pager, queue)
            self._last = ref(run)
        run.memory_size += size
        return [Message(publication, body, run) for body in bodies]

    def stage(self, messages: Sequence[Message]) -> None:
        """Let messages of one publication go to the disk if they are still there soon."""
        if self._is_paused:
            return
        self._staged += messages
        self._staged_size += len(messages) * messages[0].publication.body_size
        if self._staged_size >= self.batch_size:
            self._work.set()
            self._look()

    def _look(self) -> None:
        """See how far behind the disk is."""
        is_behind = self._staged_size + self._written_size > self.batch_size * BEHIND_FACTOR
        if self.is_behind and not is_behind:
            self._caught_up.set()
            self._caught_up = anyio.Event()
        self.is_behind = is_behind

    async def catch_up(self) -> None:
        """Return when messages may come again."""
        while self.is_behind:
            await self._caught_up.wait()

    # on the disk

    async def run(self) -> None:
        """Write what is staged, and delete what is dead, until cancelled."""
        while True:
            await self._work.wait()
            self._work = anyio.Event()
            await self.serve()

    @property
    def has_staged(self) -> bool:
        """Whether messages, some of which may be gone, wait until there is enough for a batch."""
        return bool(self._staged)

    @property
    def has_work(self) -> bool:
        """Whether `serve` has something to do."""
        return self._work.is_set()

    async def serve(self) -> None:
        """Write what is staged as long as there is enough, then delete what is dead."""
        log = self._log
        assert log is not None
        while self._staged and self._staged_size >= self.batch_size:
            try:
                await self._write(log, self._take())
            except LogError as error:
                await self._pause(error)
            else:
                self._end_write()
        await self._reclaim(log)

    def _take(self) -> list[Message]:
        staged, self._staged = self._staged, []
        self._written_size, self._staged_size = self._staged_size, 0
        return staged

    async def _write(self, log: ScratchLog, staged: list[Message]) -> None:
        """Write what is still held of messages."""
        counts = list(map(getrefcount, staged))
        messages = [m for m, count in zip(staged, counts, strict=True) if count > _UNHELD]
        del staged
        start = 0
        while start < len(messages) and self._pager.is_over:
            end, size = start, 0
            while end < len(messages) and (end == start or size < self.batch_size * BATCH_FACTOR):
                size += messages[end].publication.body_size
                end += 1
            batch = messages[start:end]
            offset, first = await log.append(_records(batch))
            self._has_complained = False
            self._page_out(batch, size, offset, first)
            self._written_size -= size
            self._look()
            start = end

    def _page_out(self, batch: Sequence[Message], size: int, offset: int, first: int) -> None:
        """Drop bodies that were written."""
        pager = self._pager
        run = TransientRun(pager)
        run.offset = ~offset
        run.paged_size = size
        pager.paged_size += size
        pager.is_used = True
        if first not in self._segments:
            self._segments[first] = _Segment(self._wake)
        run.segment = self._segments[first]
        run.segment.run_count += 1
        for index, message in enumerate(batch):
            message.run = run
            message.sequence = index
            message.body = None

    def read(self, offset: int) -> list[Block]:
        """Read the batch at the complement of an offset, and those that the same read brings.

        In any thread. Raises :class:`~amqpbroker.storage.log.LogError`.
        """
        assert self._log is not None
        found = self._log.read_now(~offset)
        return [Block.of(batch)._replace(offset=~batch.offset) for batch in found]

    async def _pause(self, error: LogError) -> None:
        """Let messages stay in memory for a while."""
        if not self._has_complained:
            self._has_complained = True
            logger.error("cannot spill, transient messages stay in memory: %s", error)
        self._take()
        self._end_write()
        self._is_paused = True
        await self._sleep(RETRY_DELAY_S)
        self._is_paused = False

    def _end_write(self) -> None:
        """Nothing is being written any more."""
        self._written_size = 0
        self._look()

    # the end

    def _wake(self) -> None:
        self._work.set()

    async def _reclaim(self, log: ScratchLog) -> None:
        segments = self._segments
        is_empty = not any(segment.run_count for segment in segments.values())
        try:
            if is_empty:
                segments.clear()
                await log.clear()
            else:
                await self._drop_dead(log)
        except LogError as error:
            logger.warning("cannot delete what was spilled, trying again later: %s", error)
        self._pager.rest()

    async def _drop_dead(self, log: ScratchLog) -> None:
        firsts = list(self._segments)
        for first, stop in pairwise(firsts):
            if not self._segments[first].run_count:
                await log.drop(first, stop)
                del self._segments[first]

    async def close(self) -> None:
        """Delete everything; ``run`` has ended."""
        if self._log is not None:
            await self._log.clear()


def _records(messages: Sequence[Message]) -> list[bytes]:
    """Return records with the bodies of messages, which are numbered from 0."""
    records = []
    first = 0
    for size, row in groupby(messages, attrgetter("publication.body_size")):
        bodies = [message.body for message in row if message.body is not None]
        joined = b"".join(bodies)
        record = EnqueueRecord(first, len(bodies), (), b"", b"", b"", size, joined, 0, True)
        records.append(encode_enqueue(record))
        first += len(bodies)
    return records
