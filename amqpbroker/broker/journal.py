"""What durable queues write to the shard log, and when it counts as written.

Handlers stage; one task commits. Everything staged between two commits becomes one batch, so what
one handler stages (a transaction, a transfer) is written as a whole or not at all (DESIGN section
4, steps 4-7). A message that is settled before its commit began is never written.

Alive messages are counted per segment and queue, because a segment without any can be deleted.
That must not bring anything back: segment S may go only when nothing in it is alive **and** every
older segment that its settles speak of is gone, or the settled messages there would rise again. So
a single old message would keep all later segments; therefore a segment with few alive messages is
compacted: they are staged once more, and when that is committed the segment is dead.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeAlias

import anyio

from amqpbroker.broker.message import Message
from amqpbroker.broker.runs import Run, Segment, rewritten_runs
from amqpbroker.storage.catalog import CatalogError
from amqpbroker.storage.log import AppendRejected, LogError
from amqpbroker.storage.memory import wall_clock_ms
from amqpbroker.storage.shard_record import encode_enqueue, encode_settle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from amqpbroker.broker.confirms import Confirms
    from amqpbroker.broker.queue import Queue
    from amqpbroker.storage.catalog import Ticket
    from amqpbroker.storage.log import SegmentedLog, Writer
    from amqpbroker.wire.content import Publication

logger = logging.getLogger("amqpbroker.journal")

THIN_RATIO: Final = 0.25
"""A segment with no more than this share of its messages alive is compacted."""
COMPACTION_INTERVAL_MS: Final = 1000
"""Between two segments: bounds what compaction writes."""
RETRY_DELAY_S: Final = 1.0
"""Between attempts while the disk is full."""


MessagesOf: TypeAlias = "Callable[[Iterable[int]], Iterable[tuple[int, Message]]]"


def _no_messages(_queue_ids: Iterable[int]) -> Iterable[tuple[int, Message]]:
    return ()


class _Batch:
    """What one commit writes."""

    __slots__ = (
        "definitions",
        "enqueued_size",
        "number",
        "runs",
        "settled_runs",
        "settles",
        "waiting",
    )

    def __init__(self, number: int) -> None:
        self.number = number
        self.runs: list[Run] = []
        self.enqueued_size = 0
        self.settles: dict[int, list[int]] = {}
        self.settled_runs: set[Run] = set()
        self.waiting: dict[Confirms, None] = {}
        self.definitions: list[Ticket] = []

    def records(self) -> list[bytes]:
        records = [
            encode_enqueue(record)
            for run in self.runs
            if any(run.alive.values())
            for record in run.records()
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
        on_short: Callable[[bool], None],
        now_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        self._log = log
        self._writer = writer
        self._flush = flush
        """Ends a batch of the broker: what a commit has set free is sent."""
        self._now_ms = now_ms
        self._on_short = on_short
        """Told when the disk is full, and when it no longer is."""
        self._next_sequence = next_sequence
        self.segments = list(segments)
        self._open = _Batch(1)
        self._work = anyio.Event()
        self._committed = anyio.Event()
        self._committed_number = 0
        self._has_dead_segment = False
        self._compacted_at_ms = 0
        self.messages_of: MessagesOf = _no_messages
        """Finds all messages, ready and unsettled, of queues with the given ids."""
        self._is_closing = False
        self.is_failed = False
        """The log can no longer be written; nothing is confirmed any more."""
        self.is_blocked = False
        """The disk is full: publishers must wait, what is staged is tried again."""

    # staging

    def enqueue(
        self, publication: Publication, bodies: Sequence[bytes], queues: Sequence[Queue]
    ) -> list[Message]:
        """Stage messages for durable queues; return them."""
        ids = tuple(queue.id for queue in queues)
        run = Run(self._next_sequence, ids, self._now_ms())
        self._next_sequence += len(bodies)
        messages = [
            Message(publication, body, run, sequence)
            for sequence, body in enumerate(bodies, run.first)
        ]
        run.messages = messages
        run.alive = dict.fromkeys(run.queue_ids, len(messages))
        self._open.runs.append(run)
        for queue in queues:
            if queue.definition is not None:
                self._require(queue)
        self._open.enqueued_size += publication.body_size * len(bodies)
        self._work.set()
        return messages

    def _require(self, queue: Queue) -> None:
        """Commit no message before the queue it is in: recovery would drop it."""
        definition = queue.definition
        if definition is None or definition.is_done:
            queue.definition = None
        else:
            self._open.definitions.append(definition)

    def settle(self, queue: Queue, messages: Iterable[Message]) -> None:
        """Stage that messages have left a durable queue for good."""
        queue_id = queue.id
        batch = self._open
        sequences = batch.settles.setdefault(queue_id, [])
        for run, sequence in self._leave(queue_id, messages):
            sequences.append(sequence)
            batch.settled_runs.add(run)
        if sequences:
            self._work.set()
        else:
            del batch.settles[queue_id]

    def abandon(self, queue: Queue, messages: Iterable[Message]) -> None:
        """Forget the messages of a queue that is deleted: its id says that they are gone."""
        for _ in self._leave(queue.id, messages):
            pass
        if self._has_dead_segment:
            self._work.set()

    def _leave(self, queue_id: int, messages: Iterable[Message]) -> Iterator[tuple[Run, int]]:
        """Count messages as gone; yield those whose record is written, or being written."""
        for message in messages:
            run = message.run
            if run is None:
                continue
            if run.messages is not None:
                run.settle_staged(queue_id, message.sequence)
                if run.rewrites:
                    yield run, message.sequence
                continue
            segment = run.segment
            if segment is None:
                run.alive[queue_id] -= 1
            else:
                segment.count(queue_id, -1)
                if not segment.alive_count:
                    self._has_dead_segment = True
            yield run, message.sequence

    # waiting

    @property
    def ticket(self) -> int:
        """The number of the commit that will carry what is staged now."""
        return self._open.number

    def notify(self, confirms: Confirms) -> None:
        """Tell ``confirms`` when what is staged now is committed."""
        self._open.waiting[confirms] = None

    async def wait(self, ticket: int) -> None:
        """Return when the commit ``ticket`` is done."""
        self._work.set()
        while self._committed_number < ticket:
            await self._committed.wait()

    # committing

    async def run(self) -> None:
        """Commit until cancelled; what is staged then is left to ``close``."""
        while True:
            await self._work.wait()
            self._work = anyio.Event()
            with anyio.CancelScope(shield=True):
                await self.commit()

    async def commit(self) -> None:
        """Write everything that is staged, then delete what is dead."""
        batch, self._open = self._open, _Batch(self._open.number + 1)
        records = batch.records()
        for run in batch.runs:
            run.messages = None
        for definition in batch.definitions:
            with suppress(CatalogError):
                await definition.wait()
        if records:
            offset = await self._append(records)
            if offset is None:
                return
            self._account(batch, offset)
        self._committed_number = batch.number
        self._committed.set()
        self._committed = anyio.Event()
        for confirms in batch.waiting:
            confirms.committed(batch.number)
        self._flush()
        if self._has_dead_segment:
            await self._reclaim()
        self._compact()

    async def _append(self, records: list[bytes]) -> int | None:
        while not self.is_failed and not self._is_closing:
            try:
                offset = await self._writer.append(records)
            except AppendRejected as error:
                if not self.is_blocked:
                    logger.error("cannot write, publishers wait: %s", error)
                self.is_blocked = True
                self._on_short(True)
                await anyio.sleep(RETRY_DELAY_S)
            except LogError as error:
                logger.critical("the log failed, nothing is confirmed any more: %s", error)
                self.is_failed = True
                self._on_short(True)
            else:
                if self.is_blocked:
                    self._on_short(False)
                self.is_blocked = False
                return offset
        return None

    def _account(self, batch: _Batch, offset: int) -> None:
        """Attribute what a batch holds to the segment that it lies in."""
        first = self._log.segments()[-1].first
        if not self.segments or self.segments[-1].first != first:
            self.segments.append(Segment(first))
        segment = self.segments[-1]
        for run in batch.runs:
            run.segment = segment
            run.offset = offset
            segment.enqueued_count += sum(run.alive.values())
            segment.references |= run.rewrites
            for queue_id, count in run.alive.items():
                segment.count(queue_id, count)
        segment.references.update(
            run.segment for run in batch.settled_runs if run.segment not in (None, segment)
        )
        if len(self.segments) > 1:
            self._has_dead_segment = True

    async def _reclaim(self) -> None:
        """Delete segments that hold nothing alive and hide nothing that could rise again."""
        self._has_dead_segment = False
        active = self.segments[-1:]
        kept: list[Segment] = []
        gone: set[Segment] = set()
        for segment in self.segments:
            segment.references -= gone
            if segment.alive_count or segment.references or segment in active:
                kept.append(segment)
            else:
                gone.add(segment)
        if not gone:
            return
        starts = {segment.first for segment in gone}
        for extent in self._log.segments():
            if extent.first in starts:
                await self._log.drop(extent.first, extent.last + 1)
        self.segments = kept

    def _compact(self) -> None:
        """Stage the survivors of one thin segment again, now and then."""
        now = self._now_ms()
        if now - self._compacted_at_ms < COMPACTION_INTERVAL_MS:
            return
        self._compacted_at_ms = now
        for segment in self.segments[:-1]:
            if 0 < segment.alive_count <= segment.enqueued_count * THIN_RATIO:
                break
        else:
            return
        for run in rewritten_runs(segment, self.messages_of(segment.alive)):
            self._open.runs.append(run)
            self._work.set()

    def give_up(self) -> None:
        """Try no more to write to a full disk: the broker is about to stop."""
        self._is_closing = self.is_blocked

    async def close(self) -> None:
        """Write what is staged, as far as possible; ``run`` has ended."""
        if not self.is_failed and (self._open.runs or self._open.settles):
            await self.commit()
