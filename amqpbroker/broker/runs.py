"""Rows of messages on their way into the log.

A :class:`Run` is a row of messages of one publish batch. It is *staged* (``messages`` is there),
then *being written*, then has a segment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqpbroker.broker.delivery_count import History, history_of
from amqpbroker.broker.message import stored_properties
from amqpbroker.storage.shard_record import EnqueueRecord, ranges_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from amqpbroker.broker.message import Message
    from amqpbroker.broker.paging import Pager
    from amqpbroker.broker.segments import Segment


class Run:
    """Messages of one publication with consecutive sequence numbers, staged together.

    Those that compaction writes once more keep their numbers, and some may be missing.
    """

    __slots__ = (
        "alive",
        "first",
        "gone",
        "histories",
        "memory_size",
        "messages",
        "offset",
        "paged_size",
        "pager",
        "queue_ids",
        "rewrites",
        "segment",
        "staged_in",
        "timestamp_ms",
        "twins",
    )

    def __init__(self, first: int, queue_ids: tuple[int, ...], timestamp_ms: int) -> None:
        self.first = first
        self.timestamp_ms = timestamp_ms
        """Wall clock when the messages came; a time to live counts from there."""
        self.queue_ids = queue_ids
        self.messages: list[Message] | None = None
        """Until the commit begins; None from then on."""
        self.staged_in = 0
        """The number of the batch that will write it."""
        self.alive: dict[int, int] = {}
        """Queue id → messages that are to be written, while this is staged or being written."""
        self.gone: dict[int, set[int]] | None = None
        """Queue id → sequences that were settled while staged."""
        self.rewrites: Segment | None = None
        """The segment whose survivors these are; None for messages that are new."""
        self.histories: Sequence[tuple[int, int, History]] = ()
        """(queue id, sequence, history) of rewritten messages that had come back before."""
        self.segment: Segment | None = None
        self.offset = -1
        """Of the batch that holds the messages (of the old one until they are rewritten)."""
        self.pager: Pager | None = None
        self.memory_size = 0
        """Bytes of bodies that count for the memory budget."""
        self.paged_size = 0
        """Bytes of bodies that are in the log only."""
        self.twins: list[Sequence[Message]] | None = None
        """Further objects for the same messages, until the commit is done."""

    def hold(self, pager: Pager, size: int) -> None:
        """Let bodies count for the memory budget until they are dropped, or all are gone."""
        self.pager = pager
        self.memory_size = size
        pager.size += size

    def keep(self) -> None:
        """Let the bodies stay in memory whatever the budget is; they count no more."""
        if self.pager is not None:
            self.pager.size -= self.memory_size
            self.memory_size = 0
            self.pager = None

    def page_out(self) -> None:
        """The bodies are not in memory any more."""
        pager, size = self.pager, self.memory_size
        assert pager is not None
        pager.size -= size
        self.memory_size = 0
        self.hold_paged(pager, size)

    def hold_paged(self, pager: Pager, size: int) -> None:
        """Let bodies count as paged out until all are gone."""
        self.pager = pager
        self.paged_size += size
        pager.paged_size += size

    def __del__(self) -> None:
        pager = self.pager
        if pager is not None:
            pager.size -= self.memory_size
            pager.paged_size -= self.paged_size

    @property
    def size(self) -> int:
        """Bytes of the bodies that are staged."""
        messages = self.messages
        return messages[0].publication.body_size * len(messages) if messages else 0

    def settle_staged(self, queue_id: int, sequence: int) -> None:
        """Take a message out that has not been written."""
        self.alive[queue_id] -= 1
        if self.gone is None:
            self.gone = {}
        self.gone.setdefault(queue_id, set()).add(sequence)

    def records(self) -> list[EnqueueRecord]:
        """Return what is to be written: everything not settled meanwhile."""
        messages = self.messages
        assert messages
        ids = self.queue_ids
        gone = self.gone
        if gone is None:
            return [_record(messages, ids, self.timestamp_ms)]
        by_ids: dict[tuple[int, ...], list[Message]] = {}
        for message in messages:
            left = tuple(i for i in ids if i not in gone or message.sequence not in gone[i])
            if left:
                by_ids.setdefault(left, []).append(message)
        records = []
        for left, kept in by_ids.items():
            start = 0
            for _, count in ranges_of([message.sequence for message in kept]):
                records.append(_record(kept[start : start + count], left, self.timestamp_ms))
                start += count
        return records


def _record(messages: Sequence[Message], ids: tuple[int, ...], timestamp_ms: int) -> EnqueueRecord:
    publication = messages[0].publication
    return EnqueueRecord(
        messages[0].sequence,
        len(messages),
        ids,
        publication.exchange.encode("utf-8", "surrogateescape"),
        publication.routing_key.encode("utf-8", "surrogateescape"),
        stored_properties(publication),
        publication.body_size,
        b"".join([message.body for message in messages if message.body is not None]),
        timestamp_ms,
    )


class _Survivors:
    """Alive messages that came in one run."""

    def __init__(self) -> None:
        self.messages: dict[int, Message] = {}
        """Sequence → one of the objects for it: a queue may hold its own."""
        self.objects: list[Message] = []
        self.alive: dict[int, set[int]] = {}
        """Queue id → sequences."""
        self.histories: list[tuple[int, int, History]] = []


def rewritten_runs(
    segments: Iterable[Segment], found: Iterable[tuple[int, Message]]
) -> Iterator[Run]:
    """Yield staged runs that carry the alive messages of ``segments``, and make them theirs.

    ``found`` are (queue id, message), those of other segments among them. The runs come segment by
    segment, and what has not been asked for is left as it is.
    """
    groups: dict[Segment | None, dict[Run, _Survivors]] = {segment: {} for segment in segments}
    for queue_id, message in found:
        old = message.run
        if not isinstance(old, Run):
            continue
        by_run = groups.get(old.segment)
        if by_run is None:
            continue
        group = by_run.get(old)
        if group is None:
            group = by_run[old] = _Survivors()
        group.messages[message.sequence] = message
        group.objects.append(message)
        group.alive.setdefault(queue_id, set()).add(message.sequence)
        history = history_of(message)
        if history.delivery_count:
            group.histories.append((queue_id, message.sequence, history))
    for by_run in groups.values():
        for old, group in by_run.items():
            yield _rewritten(old, group)


def _rewritten(old: Run, group: _Survivors) -> Run:
    """Return a run for survivors; bodies that are not in memory are fetched when it is written."""
    sequences = sorted(group.messages)
    run = Run(old.first, tuple(sorted(group.alive)), old.timestamp_ms)
    run.rewrites = old.segment
    run.messages = [group.messages[sequence] for sequence in sequences]
    run.gone = {number: set(sequences) - alive for number, alive in group.alive.items()}
    run.alive = {number: len(alive) for number, alive in group.alive.items()}
    run.histories = group.histories
    run.offset = old.offset
    if old.pager is not None:
        present = [message for message in run.messages if message.body is not None]
        size = run.messages[0].publication.body_size
        run.hold(old.pager, size * len(present))
        run.hold_paged(old.pager, size * (len(run.messages) - len(present)))
        run.twins = [group.objects]
    for message in group.objects:
        message.run = run
    return run
