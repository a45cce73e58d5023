"""What durable queues write to the shard log, and when it counts as written.

Handlers stage; one task commits. Everything staged between two commits becomes one batch, so what
one handler stages (a transaction, a dead letter) is written as a whole or not at all (DESIGN
section 4, steps 4-7). A message that is settled before its commit began is never written.

When much is staged it is divided into several batches, but only between two batches of the broker
(``divide``), never in the middle of what a handler does.

**A full disk** holds the commit up: it is tried again until there is space, and publishers are
told to wait. **A log that fails** otherwise ends it: nothing is confirmed any more, whoever waits
is told so, and publishers wait for good. Consumers get what there is in either case.

What may be deleted, and what is written once more to that end: see ``segments``.
"""

from __future__ import annotations

import logging
from collections import deque
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, TypeVar

import anyio

from amqpbroker.broker.delivery_count import History, history_of
from amqpbroker.broker.message import Message
from amqpbroker.broker.runs import Run, rewritten_runs
from amqpbroker.broker.segments import Segment, Segments
from amqpbroker.storage.catalog import CatalogError, ChangeRefused
from amqpbroker.storage.log import AppendRejected, LogError, LogUnavailable
from amqpbroker.storage.memory import wall_clock_ms
from amqpbroker.storage.shard_record import encode_enqueue, encode_return, encode_settle

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence

    from amqpbroker.broker.alarms import Resource
    from amqpbroker.broker.confirms import Confirms
    from amqpbroker.broker.paging import Pager
    from amqpbroker.broker.stream import Stream
    from amqpbroker.storage.catalog import Ticket
    from amqpbroker.storage.log import SegmentedLog, Writer
    from amqpbroker.wire.content import Publication
    from amqpbroker.wire.table import Table

logger = logging.getLogger("amqpbroker.journal")

BATCH_SIZE: Final = 4 << 20
"""Bytes of bodies after which the next batch begins."""
COMPACTION_SIZE: Final = 4 << 20
"""Bytes of bodies that compaction writes at a time, and a little more."""
COMPACTED_READS_MAX: Final = 16
"""Batches that compaction reads at a time, for bodies that are not in memory."""
COMPACTION_INTERVAL_MS: Final = 1000
"""Between two times."""
RETRY_DELAY_S: Final = 1.0
"""Between attempts while the disk is full."""


_WRITTEN: Final[dict[int, int]] = {}

T = TypeVar("T")
MessagesOf: TypeAlias = "Callable[[Iterable[int]], Iterable[tuple[int, Message]]]"


class Keeper(Protocol):
    """Who has messages in the log: a durable queue, what is delayed in a vhost, or a window."""

    id: int
    """Its own, never reused."""
    name: str
    is_auto_delete: bool
    arguments: Table
    definition: Ticket | None
    """Until the catalog has stored it: what must be waited for."""
    journal: Journal | None

    @property
    def keeps_bodies(self) -> bool:
        """Whether it needs all bodies in memory all the time."""

    @property
    def ready(self) -> Iterable[Message]:
        """The messages that are not on loan."""

    def recover(self, messages: Sequence[Message]) -> None:
        """Take what was there before a restart, in order."""


def _no_messages(_queue_ids: Iterable[int]) -> Iterable[tuple[int, Message]]:
    return ()


class _Batch:
    """What one commit writes, and what is true when it has."""

    __slots__ = (
        "definitions",
        "left",
        "number",
        "returned_to",
        "returns",
        "runs",
        "settles",
        "size",
        "streams",
        "waiting",
    )

    def __init__(self, number: int) -> None:
        self.number = number
        self.runs: list[Run] = []
        self.size = 0
        """Bytes of bodies."""
        self.settles: dict[int, list[int]] = {}
        """Queue id → sequences, of which a record is written."""
        self.left: dict[int, dict[Run | Segment, int]] = {}
        """Queue id → where messages are alive no more → how many."""
        self.returns: dict[int, dict[int, History]] = {}
        """Queue id → sequence → what became of it so far."""
        self.returned_to: set[Run | Segment] = set()
        """Where the messages in ``returns`` lie."""
        self.streams: dict[Stream, None] = {}
        """What has messages staged that are to be written before."""
        self.waiting: dict[Confirms, None] = {}
        self.definitions: dict[Keeper, Ticket] = {}
        """What the catalog must have stored before."""

    def __bool__(self) -> bool:
        return bool(
            self.runs or self.settles or self.left or self.returns or self.streams or self.waiting
        )

    def add(self, run: Run) -> None:
        """Have a run written."""
        run.staged_in = self.number
        self.runs.append(run)
        for queue_id, sequence, history in run.histories:
            self.returns.setdefault(queue_id, {})[sequence] = history

    def leave(self, queue_id: int, messages: Iterable[Message]) -> list[int]:
        """Count messages as gone; return the sequences that the log knows, or will know.

        Only what this batch would write is taken back. An earlier one may be committed without
        this one, and what goes with the settle (a dead letter, a transaction) is in this one.
        """
        sequences = []
        left = self.left.setdefault(queue_id, {})
        for message in messages:
            run = message.run
            if not isinstance(run, Run):
                continue
            place: Run | Segment = run.segment or run
            if run.messages is not None and run.staged_in == self.number:
                run.settle_staged(queue_id, message.sequence)
                if run.rewrites is None:
                    continue
                place = run.rewrites
            sequences.append(message.sequence)
            left[place] = left.get(place, 0) + 1
        if not left:
            del self.left[queue_id]
        return sequences

    def missing(self) -> list[Message]:
        """Return the survivors of old segments whose bodies are not in memory."""
        return [
            message
            for run in self.runs
            if run.rewrites is not None
            for message in run.messages or ()
            if message.body is None
        ]

    def records(self) -> list[bytes]:
        records = [
            encode_enqueue(record)
            for run in self.runs
            if any(run.alive.values())
            for record in run.records()
        ]
        for queue_id, histories in self.returns.items():
            by_history: dict[History, list[int]] = {}
            for sequence, history in histories.items():
                by_history.setdefault(history, []).append(sequence)
            records += [
                encode_return(queue_id, count, sequences, due_ms, error)
                for (count, due_ms, error), sequences in by_history.items()
            ]
        records += [encode_settle(queue_id, gone) for queue_id, gone in self.settles.items()]
        return records


class Journal:
    """The shard log of a broker's durable queues."""

    def __init__(
        self,
        log: SegmentedLog,
        writer: Writer,
        *,
        next_sequence: int,
        segments: Iterable[Segment],
        flush: Callable[[], None],
        on_alarm: Callable[[Resource, bool], None],
        pager: Pager,
        now_ms: Callable[[], int] = wall_clock_ms,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._log = log
        self._writer = writer
        self._flush = flush
        """Ends a batch of the broker: what a commit has set free is sent."""
        self.pager = pager
        pager.on_failure = self.fail
        self._now_ms = now_ms
        self._sleep = sleep
        self._on_alarm = on_alarm
        """Told why nothing can be written, and when that is over."""
        self._next_sequence = next_sequence
        self.segments = Segments(segments)
        self.batch_size = min(BATCH_SIZE, log.batch_size_max // 2)
        """See ``BATCH_SIZE``."""
        self.compaction_interval_ms = COMPACTION_INTERVAL_MS
        self._full: deque[_Batch] = deque()
        """What is staged in batches that take no more."""
        self._open = _Batch(1)
        self._work = anyio.Event()
        self._committed = anyio.Event()
        self._committed_number = 0
        self._may_have_dead = True
        self._compacted_at_ms = 0
        self.messages_of: MessagesOf = _no_messages
        """Finds all messages, ready and unsettled, of queues with the given ids."""
        self._is_closing = False
        self.failure: str | None = None
        """Why the log can no longer be written; nothing is confirmed any more."""
        self.is_blocked = False
        """The disk is full: publishers must wait, what is staged is tried again."""

    # staging

    def enqueue(
        self, publication: Publication, bodies: Sequence[bytes], queues: Sequence[Keeper]
    ) -> list[Message]:
        """Stage messages for durable queues; return them."""
        batch = self._open
        run = Run(self._next_sequence, tuple([queue.id for queue in queues]), self._now_ms())
        self._next_sequence += len(bodies)
        messages = [
            Message(publication, body, run, sequence)
            for sequence, body in enumerate(bodies, run.first)
        ]
        run.messages = messages
        run.alive = dict.fromkeys(run.queue_ids, len(messages))
        batch.add(run)
        for queue in queues:
            if queue.definition is not None:
                # No message before the queue it is in: recovery would drop it.
                batch.definitions[queue] = queue.definition
        size = publication.body_size * len(bodies)
        run.hold(self.pager, size)
        batch.size += size
        self._work.set()
        return messages

    def settle(self, queue: Keeper, messages: Iterable[Message]) -> None:
        """Stage that messages have left a durable queue for good."""
        queue_id = queue.id
        batch = self._open
        sequences = batch.leave(queue_id, messages)
        if sequences:
            batch.settles.setdefault(queue_id, []).extend(sequences)
            self._work.set()

    def count(self, queue: Keeper, messages: Iterable[Message]) -> None:
        """Stage that messages have come back, how often and why (FEATURES A9.15, N7)."""
        batch = self._open
        histories = batch.returns.setdefault(queue.id, {})
        for message in messages:
            assert isinstance(message.run, Run)
            histories[message.sequence] = history_of(message)
            batch.returned_to.add(message.run.segment or message.run)
        self._work.set()

    def abandon(self, queue: Keeper, messages: Iterable[Message]) -> None:
        """Forget the messages of a queue that is deleted: its id says that they are gone."""
        batch = self._open
        if batch.leave(queue.id, messages):
            if queue.definition is not None:
                # The deletion: before it is stored, a crash brings queue and messages back.
                batch.definitions[queue] = queue.definition
            self._work.set()

    def attend(self, stream: Stream, queue: Keeper, size: int) -> None:
        """Have what a stream has staged (``size`` bytes more) written by the next commit."""
        batch = self._open
        batch.streams[stream] = None
        if queue.definition is not None:
            batch.definitions[queue] = queue.definition
        batch.size += size
        self._work.set()

    def divide(self) -> None:
        """Let another batch begin if the open one is full; not in the middle of a handler."""
        if self._open.size >= self.batch_size:
            self._full.append(self._open)
            self._open = _Batch(self._open.number + 1)

    # waiting

    @property
    def ticket(self) -> int:
        """The number of the commit that will carry what is staged now."""
        return self._open.number

    def notify(self, confirms: Confirms) -> None:
        """Tell ``confirms`` when what is staged now is committed."""
        self._open.waiting[confirms] = None

    async def wait(self, ticket: int) -> None:
        """Return when the commit ``ticket`` is done.

        Raises :class:`~amqpbroker.storage.log.LogUnavailable` if it will not be: what it carries
        is perhaps in the log, and perhaps not.
        """
        self._work.set()
        while self._committed_number < ticket:
            if self.failure is not None:
                raise LogUnavailable(self.failure)
            await self._committed.wait()

    # committing

    async def run(self) -> None:
        """Commit until cancelled; what is staged then is left to ``close``."""
        while True:
            await self._work.wait()
            self._work = anyio.Event()
            with anyio.CancelScope(shield=True):
                await self.commit()
            if self._full or self._open:
                self._work.set()

    async def commit(self) -> None:
        """Write the oldest batch, then delete what is dead."""
        batch = self._next_batch()
        missing = batch.missing() if self.pager.is_used else ()
        if missing and not await self._write(partial(self.pager.fill, missing)):
            return
        records = batch.records()
        for message in missing:
            message.body = None
        written = [(run, run.messages or ()) for run in batch.runs] if self.pager.is_over else ()
        for run in batch.runs:
            run.messages = None
        if self.failure is not None or not await self._are_defined(batch):
            return
        if batch.streams:
            await _all(partial(self._write, stream.commit) for stream in batch.streams)
            if self.failure is not None:
                return
        if records:
            offset = await self._append(records)
            if offset is None:
                return
            self._account_written(batch, offset)
            self.pager.page_out(written)
        for run in batch.runs:
            run.twins = None
        self.pager.rest()
        self._account_left(batch)
        self._committed_number = batch.number
        self._wake_waiting()
        for confirms in batch.waiting:
            confirms.committed(batch.number)
        self._flush()
        if self._may_have_dead:
            await self._reclaim()
        self._compact()

    def _next_batch(self) -> _Batch:
        if self._full:
            return self._full.popleft()
        batch, self._open = self._open, _Batch(self._open.number + 1)
        return batch

    def _wake_waiting(self) -> None:
        self._committed.set()
        self._committed = anyio.Event()

    async def _are_defined(self, batch: _Batch) -> bool:
        """Wait until the queues of a batch are in the catalog (or those deleted no more)."""
        for queue, definition in batch.definitions.items():
            try:
                await definition.wait()
            except ChangeRefused as error:
                logger.error("queue '%s' will not survive a restart: %s", queue.name, error)
            except CatalogError as error:
                self.fail(error)
                return False
            if queue.definition is definition:
                queue.definition = None
        return True

    async def _append(self, records: list[bytes]) -> int | None:
        """Return the offset of a batch, None if it cannot be written."""
        is_too_large = sum(map(len, records)) > self._log.batch_size_max
        return await self._write(lambda: self._writer.append(records), may_wait=not is_too_large)

    async def _write(self, write: Callable[[], Awaitable[T]], *, may_wait: bool = True) -> T | None:
        """Return what ``write`` does, None if nothing can be written; a full disk is waited for."""
        while self.failure is None:
            try:
                written = await write()
            except (AppendRejected, LogUnavailable) as error:
                if self._is_closing or not may_wait:
                    self.fail(error)
                    break
                self._block(error)
                await self._sleep(RETRY_DELAY_S)
            except LogError as error:
                self.fail(error)
            else:
                if self.is_blocked:
                    self.is_blocked = False
                    logger.warning("the log can be written again")
                    self._on_alarm("disk", False)
                    self._on_alarm("storage", False)
                return written
        return None

    def _block(self, error: LogError) -> None:
        if not self.is_blocked:
            logger.error("cannot write, publishers wait: %s", error)
            self.is_blocked = True
            self._on_alarm("disk" if isinstance(error, AppendRejected) else "storage", True)

    def fail(self, error: Exception) -> None:
        """Confirm nothing any more, and let nobody wait for it: what is on the disk stays so."""
        if self.failure is None:
            logger.critical("the log failed, nothing is confirmed any more: %s", error)
            self.failure = str(error)
            self._on_alarm("storage", True)
        self._wake_waiting()

    # what is alive

    def _account_written(self, batch: _Batch, offset: int) -> None:
        """Attribute what a batch holds to the segment that it lies in."""
        first = self._log.segments()[-1].first
        segment = self.segments.active(first)
        if segment.first == offset:
            self._may_have_dead = True  # the one before is written to no more
        for run in batch.runs:
            run.segment = segment
            run.offset = offset
            old = run.rewrites
            for queue_id, count in run.alive.items():
                segment.enqueued_count += count
                segment.count(queue_id, count)
                if old is not None:
                    old.count(queue_id, -count)
            run.alive = _WRITTEN  # what is done with takes memory for every message
            if old is not None:
                old.is_moving = False
                segment.references.add(old)
                self._may_have_dead = True
        for queue_id in batch.settles:
            segment.references.update(map(_segment_of, batch.left[queue_id]))
        segment.references.update(map(_segment_of, batch.returned_to))
        segment.references.discard(segment)

    def _account_left(self, batch: _Batch) -> None:
        """Count what is alive no more, now that a crash would not bring it back."""
        for queue_id, left in batch.left.items():
            for item, count in left.items():
                place = _segment_of(item)
                place.count(queue_id, -count)
                if not place.alive_count:
                    self._may_have_dead = True

    async def _reclaim(self) -> None:
        """Delete the segments that are dead, as many at a time as lie side by side."""
        self._may_have_dead = False
        gone = {segment.first: segment for segment in self.segments.dead()}
        for is_gone, row in groupby(self._log.segments(), lambda item: item.first in gone):
            if is_gone:
                extents = list(row)
                try:
                    await self._log.drop(extents[0].first, extents[-1].last + 1)
                except LogError as error:
                    logger.warning("cannot delete old segments, trying again later: %s", error)
                    self._may_have_dead = True
                    return
                self.segments.remove({gone[item.first] for item in extents})

    def _compact(self) -> None:
        """Stage what is alive in thin segments once more, some of it now and then."""
        now = self._now_ms()
        if self._is_closing or now - self._compacted_at_ms < self.compaction_interval_ms:
            return
        self._compacted_at_ms = now
        segments = self.segments.to_compact()
        queue_ids = {queue_id for segment in segments for queue_id in segment.alive}
        size = 0
        paged: set[int] = set()
        for run in rewritten_runs(segments, self.messages_of(queue_ids)):
            assert run.rewrites is not None
            run.rewrites.is_moving = True
            self._open.add(run)
            size += run.size
            if run.paged_size:
                paged.add(run.offset)
            if size >= COMPACTION_SIZE or len(paged) >= COMPACTED_READS_MAX:
                break
        if self._open:
            self._work.set()

    # the end

    def give_up(self) -> None:
        """Wait no more for a full disk: the broker is about to stop."""
        self._is_closing = True

    async def close(self) -> None:
        """Write what is staged, as far as possible; ``run`` has ended."""
        self._is_closing = True
        while self.failure is None and (self._full or self._open):
            await self.commit()


def _segment_of(place: Run | Segment) -> Segment:
    """Return where records lie, now that all earlier batches are written."""
    segment = place if isinstance(place, Segment) else place.segment
    assert segment is not None
    return segment


async def _all(jobs: Iterable[Callable[[], Coroutine[None, None, None]]]) -> None:
    """Do jobs at the same time."""
    async with anyio.create_task_group() as tasks:
        for job in jobs:
            tasks.start_soon(job)
