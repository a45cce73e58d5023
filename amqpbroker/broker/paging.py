"""Bodies beyond the memory budget: they stay in the log and are read back ahead of delivery.

A message of a durable queue is in the log before anybody is told that it is safe. So once its batch
is written its body need not stay in memory: while the budget is exceeded it is dropped, ``body`` is
None from then on, and only the `Message` remains, which says where the body lies: in the batch at
``run.offset``, under its ``sequence``. Compaction that writes it elsewhere changes ``run``, offsets
are never used again, and a segment stays as long as a message in it is alive; so such a place is
right for as long as the message lives.

What came first stays in memory, what comes while the budget is exceeded goes: the head of a queue
is what is needed first. Bodies do not come back into the message. A queue whose next body is not at
hand *wants* the batch: it is read aside, in a thread, while everybody else goes on; then the queue
pumps again, and wants the next one before it gets there. What must be had at once (a dead letter)
is read at once: `Pager.bodies`. See docs/adr/0006-paging.md.

A read that fails is tried again, without an end. A batch that is not what was written ends the log
(`Journal.fail`): nothing of it is delivered, and nothing on the disk is touched.
"""

from __future__ import annotations

import logging
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final

import anyio

from amqpbroker.broker.body_cache import Block, BodyCache, corrupt
from amqpbroker.broker.spill import Spill
from amqpbroker.storage.log import LogError, LogUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from amqpbroker.broker.message import Message
    from amqpbroker.broker.runs import Run
    from amqpbroker.storage.log import SegmentedLog
    from amqpbroker.storage.scratch_log import ScratchLog
    from amqpbroker.storage.shard_record import Bodies

logger = logging.getLogger("amqpbroker.paging")

CACHE_SHARE: Final = 8
"""Blocks that were read back take up to this part of the budget on top of it."""
READ_AHEAD_SIZE: Final = 2 << 20
"""Bytes of bodies ahead of what is delivered that are wanted, at least."""
READ_AHEAD_COUNT_MAX: Final = 8192
RETRY_DELAY_S: Final = 1.0
"""Between attempts to read."""


class Pager:
    """The memory budget for bodies of messages that are kept on disk."""

    def __init__(
        self,
        log: SegmentedLog,
        limit: int,
        *,
        spill: ScratchLog | None = None,
        flush: Callable[[], None] = lambda: None,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._log = log
        self._flush = flush
        """Ends a batch of the broker: what was delivered leaves."""
        self._sleep = sleep
        self.on_failure: Callable[[Exception], None] = lambda error: None
        """Told when a body is not what was written."""
        self.limit = limit
        """Bytes of bodies that stay in memory."""
        self.size = 0
        """Bytes of bodies in memory, a run at a time: until the last message of it is gone."""
        self.paged_size = 0
        """Bytes of bodies that are on the disk only, a run at a time."""
        self.is_used = False
        """Whether any body is perhaps on the disk only."""
        self.read_count = 0
        """How often the log was read."""
        self.cache = BodyCache(limit // CACHE_SHARE)
        self._wanted: dict[int, dict[Callable[[], None], None]] = {}
        """Offset → what is called when its batch is at hand; who asked first is first."""
        self._broken: dict[int, LogError] = {}
        """Offset → why what should lie there cannot be had."""
        self._work = anyio.Event()
        self._has_complained = False
        self.spill = Spill(self, spill, sleep=sleep)

    @property
    def is_over(self) -> bool:
        """Whether bodies are to be dropped."""
        return self.size > self.limit

    def statistics(self) -> dict[str, int]:
        """Return the numbers that the HTTP API shows, in bytes but for ``reads``."""
        return {
            "ram": self.size,
            "paged_out": self.paged_size,
            "limit": self.limit,
            "reads": self.read_count,
        }

    @property
    def is_reading(self) -> bool:
        """Whether somebody waits for a batch."""
        return bool(self._wanted)

    # out of memory

    def page_out(self, written: Sequence[tuple[Run, Sequence[Message]]]) -> None:
        """Drop bodies of runs that are on the disk until the rest is within the budget.

        The last ones go first: they are needed last.
        """
        for run, messages in reversed(written):
            if not self.is_over:
                return
            if not run.memory_size:
                continue
            for message in messages:
                message.body = None
            for twins in run.twins or ():
                for message in twins:
                    message.body = None
            run.page_out()
            self.is_used = True

    def admit(self, run: Run, size: int) -> bool:
        """Let a run that was found on the disk count; return whether its bodies stay there."""
        if not size or not self.is_over:
            run.hold(self, size)
            return False
        run.hold_paged(self, size)
        self.is_used = True
        return True

    def rest(self) -> None:
        """Let go of what was read back, once nothing is left that may be needed."""
        if self.is_used and not self.paged_size:
            self.is_used = False
            self.cache.clear()
            self._broken.clear()

    # back, at once

    def bodies(self, messages: Sequence[Message]) -> list[bytes]:
        """Return the bodies of messages; waits for the disk where they are not at hand.

        Raises :class:`~amqpbroker.storage.log.LogError`.
        """
        found = self.at_hand(messages)
        while len(found) < len(messages):
            run = messages[len(found)].run
            assert run is not None
            if run.offset in self._broken:
                raise self._broken[run.offset]
            self._keep(run.offset, self._read(run.offset))
            found += self.at_hand(messages, len(found))
        return found

    def at_hand(self, messages: Sequence[Message], start: int = 0) -> list[bytes]:
        """Return bodies, from a start on, as far as they are in memory."""
        bodies: list[bytes] = []
        offset = -1
        first = end = at = size = 0
        data = b""
        for message in islice(messages, start, None):
            body = message.body
            if body is None:
                run, sequence = message.run, message.sequence
                assert run is not None
                if run.offset != offset or not first <= sequence < end:
                    offset = run.offset
                    row = self._row(offset, sequence)
                    if row is None:
                        break
                    first, end, size, at, data = row
                place = at + (sequence - first) * size
                body = data[place : place + size]
            bodies.append(body)
        return bodies

    def _row(self, offset: int, sequence: int) -> Bodies | None:
        """Return where a body lies, None if its batch is not at hand."""
        block = self.cache.get(offset)
        if block is None:
            return None
        row = block.row(sequence)
        if row is None:
            missing = corrupt(offset, f"message {sequence} is not in it")
            self._broken.setdefault(offset, missing)
        return row

    async def fill(self, messages: Sequence[Message]) -> bool:
        """Give messages their bodies, read aside; nothing else is kept. Returns True.

        Raises :class:`~amqpbroker.storage.log.LogError`.
        """
        own = Pager(self._log, 0)
        own.cache.size_max = self.cache.size_max
        bodies: list[bytes] = await self._log.run_aside(partial(own.bodies, messages))
        for message, body in zip(messages, bodies, strict=True):
            message.body = body
        return True

    # back, aside

    def has(self, message: Message, then: Callable[[], None]) -> bool:
        """Return whether a body is at hand; if not, ``then`` is called when it is.

        Raises :class:`~amqpbroker.storage.log.LogError` if it cannot be had.
        """
        if message.body is not None:
            return True
        assert message.run is not None
        offset = message.run.offset
        if offset in self._broken:
            raise self._broken[offset]
        if offset in self.cache:
            return True
        self._want(offset)[then] = None
        return False

    def read_ahead(self, message: Message) -> None:
        """Have the batch of a message read that will be needed soon."""
        if message.body is None:
            assert message.run is not None
            offset = message.run.offset
            if offset not in self.cache and offset not in self._broken:
                self._want(offset)

    def _want(self, offset: int) -> dict[Callable[[], None], None]:
        self._work.set()
        return self._wanted.setdefault(offset, {})

    async def run(self) -> None:
        """Read what is wanted until cancelled."""
        while True:
            await self._work.wait()
            self._work = anyio.Event()
            while self._wanted:
                await self.serve()

    async def serve(self) -> None:
        """Read the batch that is wanted longest, and call whom it was read for."""
        offset = next(iter(self._wanted))
        if offset not in self.cache:
            try:
                self._keep(offset, await self._log.run_aside(partial(self._read, offset)))
            except LogUnavailable as error:
                self._complain(error)
                await self._sleep(RETRY_DELAY_S)
                return
            except LogError as error:
                self._broken[offset] = error
        self._has_complained = False
        for then in self._wanted.pop(offset):
            try:
                then()
            except Exception:
                logger.exception("internal error after reading back")
        self._flush()

    def _read(self, offset: int) -> list[Block]:
        """Read the batch at an offset, and those behind it that the same read brings."""
        if offset < 0:
            return self.spill.read(offset)
        return [Block.of(batch) for batch in self._log.read_now(offset)]

    def _keep(self, offset: int, blocks: list[Block]) -> None:
        self.read_count += 1
        self.cache.keep(blocks)
        if offset not in self.cache:
            self._broken[offset] = corrupt(offset, "it is missing")

    def _complain(self, error: LogError) -> None:
        if not self._has_complained:
            self._has_complained = True
            logger.error(
                "cannot read messages back, their queues wait; trying again every %g s: %s",
                RETRY_DELAY_S,
                error,
            )
