"""From the shard log back to the queues: state is replay (DESIGN section 6).

One pass over the log: enqueues fill a dict per queue, settles empty it again. Records of queues
that the catalog does not know are dropped, and so are spilled transient messages. What is left is
put into the queues in the order of sequence numbers, as redelivered: whether somebody had seen a
message before the crash is not known (FEATURES A6.3). Bodies beyond the memory budget stay in the
log (``paging``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from amqpbroker.broker.delivery_count import History, with_history
from amqpbroker.broker.message import Message, without_bcc
from amqpbroker.broker.runs import Run
from amqpbroker.broker.segments import Segment
from amqpbroker.storage.log import Corrupt
from amqpbroker.storage.shard_record import BadRecord, EnqueueRecord, ReturnRecord, decode
from amqpbroker.wire.content import Publication

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from amqpbroker.broker.journal import Keeper
    from amqpbroker.broker.paging import Pager
    from amqpbroker.storage.log import Batch, SegmentedLog


class Recovered(NamedTuple):
    """What the journal goes on with."""

    next_sequence: int
    segments: list[Segment]
    message_count: int
    last_offset: int
    last_epoch: int


class Replay:
    """The state of a replay; feed it the batches in order, then ``finish``."""

    def __init__(self, queues: Mapping[int, Keeper], pager: Pager) -> None:
        self._queues = queues
        self._pager = pager
        self._messages: dict[int, dict[int, Message]] = {number: {} for number in queues}
        self._last_sequence = 0
        self._last_publication: tuple[EnqueueRecord, Publication] | None = None
        self._epoch = 0
        self._offset = -1

    def feed(self, batch: Batch, segment: Segment) -> None:
        """Apply a batch that lies in ``segment``.

        Raises :class:`~amqpbroker.storage.log.Corrupt` for a record that is none.
        """
        self._offset, self._epoch = batch.offset, batch.epoch
        for data in batch.records:
            try:
                record = decode(data)
            except BadRecord as error:
                raise Corrupt("shard log", None, f"batch {batch.offset}: {error}") from None
            if isinstance(record, EnqueueRecord):
                self._enqueue(record, batch.offset, segment)
            elif isinstance(record, ReturnRecord):
                history = History(record.delivery_count, record.due_ms, record.error)
                for first, count in record.ranges:
                    self._return(record.queue_id, first, count, history, segment)
            else:
                for first, count in record.ranges:
                    self._settle(record.queue_id, first, count, segment)

    def _enqueue(self, record: EnqueueRecord, offset: int, segment: Segment) -> None:
        last = record.first + record.message_count - 1
        self._last_sequence = max(self._last_sequence, last)
        queues = [self._queues[i] for i in record.queue_ids if i in self._queues]
        if record.is_transient or not queues:
            return
        publication = self._publication(record)
        ids = tuple(queue.id for queue in queues)
        run = Run(record.first, ids, record.timestamp_ms)
        run.segment, run.offset = segment, offset
        is_paged = False
        if not any(queue.keeps_bodies for queue in queues):
            is_paged = self._pager.admit(run, record.body_size * record.message_count)
        for sequence in range(record.first, last + 1):
            body = None if is_paged else record.body(sequence)
            message = Message(publication, body, run, sequence)
            for queue in queues:
                known = self._messages[queue.id]
                before = known.get(sequence)
                if before is not None:
                    self._leave(before, queue.id, segment)
                known[sequence] = message
        for queue in queues:
            segment.count(queue.id, record.message_count)
        segment.enqueued_count += record.message_count * len(queues)

    def _settle(self, queue_id: int, first: int, count: int, segment: Segment) -> None:
        self._last_sequence = max(self._last_sequence, first + count - 1)
        messages = self._messages.get(queue_id)
        if messages is None:
            return
        for sequence in range(first, first + count):
            message = messages.pop(sequence, None)
            if message is not None:
                self._leave(message, queue_id, segment)

    def _return(
        self, queue_id: int, first: int, count: int, history: History, segment: Segment
    ) -> None:
        messages = self._messages.get(queue_id, {})
        for sequence in range(first, first + count):
            message = messages.get(sequence)
            if message is not None:
                assert isinstance(message.run, Run)
                assert message.run.segment is not None
                messages[sequence] = with_history(message, history)
                if message.run.segment is not segment:
                    segment.references.add(message.run.segment)

    def _leave(self, message: Message, queue_id: int, segment: Segment) -> None:
        """A message is settled in ``segment``, or was written there once more by compaction."""
        assert isinstance(message.run, Run)
        older = message.run.segment
        assert older is not None
        older.count(queue_id, -1)
        if older is not segment:
            segment.references.add(older)

    def _publication(self, record: EnqueueRecord) -> Publication:
        if self._last_publication is not None:
            last, publication = self._last_publication
            if last[3:7] == record[3:7]:
                return publication
        publication = without_bcc(
            Publication(
                record.exchange.decode("utf-8", "surrogateescape"),
                record.routing_key.decode("utf-8", "surrogateescape"),
                raw_properties=record.raw_properties,
                body_size=record.body_size,
            )
        )
        self._last_publication = record, publication
        return publication

    def finish(self, segments: list[Segment]) -> Recovered:
        """Fill the queues."""
        total = 0
        for number, messages in self._messages.items():
            if messages:
                ordered = [messages[sequence] for sequence in sorted(messages)]
                self._queues[number].recover(ordered)
                total += len(ordered)
        self._messages.clear()
        return Recovered(self._last_sequence + 1, segments, total, self._offset, self._epoch)


async def recover(
    log: SegmentedLog,
    queues: Mapping[int, Keeper],
    pager: Pager,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Recovered:
    """Replay a log into durable queues by id; ``on_progress`` gets offsets done and in all.

    Raises :class:`~amqpbroker.storage.log.LogError`.
    """
    extent = await log.extent()
    starts = [Segment(item.first) for item in log.segments()]
    replay = Replay(queues, pager)
    index = 0
    async for batch in log.read(extent.first):
        while index + 1 < len(starts) and starts[index + 1].first <= batch.offset:
            index += 1
        replay.feed(batch, starts[index])
        on_progress(batch.offset - extent.first, extent.last - extent.first)
    return replay.finish(starts)
