"""What a stream holds, and how it gets there and is deleted again (FEATURES A11.4, A11.10).

Publishes are staged and become a batch of the stream's own log (`storage.partition`) when the
journal commits: streams first, then the shard log. So a confirm or a ``tx.commit-ok`` says that all
is on the disk, and a message that moves from a queue to a stream (a dead letter) cannot be lost
between the two; after a crash it may be in both.

A transaction is one batch in each log that it writes to: all or nothing in every single stream, and
all or nothing in all queues together, but not across.
"""

from __future__ import annotations

import logging
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import anyio

from amqpbroker.broker.stream_tracking import Tracked
from amqpbroker.storage.log import LogError
from amqpbroker.storage.shard_record import EnqueueRecord

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from amqpbroker.broker.settings import QueueSettings
    from amqpbroker.broker.streams import Streams
    from amqpbroker.broker.timers import Timer
    from amqpbroker.storage.partition import Partition, Piece
    from amqpbroker.wire.content import Publication

logger = logging.getLogger("amqpbroker.stream")

RECENT_SIZE: Final = 1 << 20
"""Bytes of bodies of the latest batches that are kept for consumers at the end of the stream."""
TRACKING_DELAY_S: Final = 1.0
"""Until the places of consumers are stored, so that acknowledgements share that."""
RECORD_COST: Final = 200
"""Bytes that a record takes besides its bodies, about."""
BATCH_SIZE: Final = 64 << 20
"""Bytes of bodies in one batch, about: more than the journal lets gather but in a transaction."""


class Stream:
    """The messages of one stream queue."""

    def __init__(self, streams: Streams, name: str, number: int, settings: QueueSettings) -> None:
        self._streams = streams
        self.name = name
        self.number = number
        """Names its directory."""
        self.settings = settings
        self.partition: Partition = streams.partition_of(self)
        self.failure: str | None = None
        """Why it could not be opened at start: nothing is taken or delivered."""
        self.is_deleted = False
        self.is_committing = False
        """A job is about to commit, where no journal does."""
        self.on_commit: Callable[[], None] = lambda: None
        self.keeps_recent = False
        """Whether somebody waits at the end."""
        self._recent: deque[Piece] = deque()
        self._recent_size = 0
        self._staged: deque[EnqueueRecord] = deque()
        self._next_staged = -1
        """The offset of what is staged next; -1: nothing is staged, it is the partition's."""
        self._user_count = 0
        self._unused: anyio.Event | None = None
        self._used_at = 0.0
        self._idle: Timer | None = None
        self._expiry: Timer | None = None
        self._segment_count = 0
        self.tracked = Tracked(self._track)
        """How far consumers have got that want it to be known."""
        self._tracking: Timer | None = None

    def __len__(self) -> int:
        """Return how many messages are there, whoever has read them."""
        following = self.partition.next
        if self._streams.is_volatile and self._staged:
            following = self._next_staged  # those have been confirmed
        return following - self.partition.first

    # in

    def stage(self, publication: Publication, bodies: Sequence[bytes], now_ms: int) -> None:
        """Have messages written by the next commit."""
        if self._next_staged < 0:
            self._next_staged = self.partition.next
        count = len(bodies)
        self._staged.append(
            EnqueueRecord(
                self._next_staged,
                count,
                (),
                publication.exchange.encode("utf-8", "surrogateescape"),
                publication.routing_key.encode("utf-8", "surrogateescape"),
                publication.raw_properties,
                publication.body_size,
                bodies[0] if count == 1 else b"".join(bodies),
                now_ms,
            )
        )
        self._next_staged += count

    async def commit_alone(self) -> None:
        """Commit without a journal: nothing is on a disk."""
        try:
            await self.commit()
        finally:
            self.is_committing = False
            self._streams.flush()

    async def commit(self) -> None:
        """Write what is staged; after an error it is still staged, as far as it is not written.

        Raises LogError.
        """
        while self._staged and not self.is_deleted:
            records = []
            size = 0
            for record in self._staged:
                records.append(record)
                size += len(record.bodies) + RECORD_COST
                if size >= BATCH_SIZE:
                    break
            async with self.used() as partition:
                piece = await partition.append(records)
            for _ in records:
                self._staged.popleft()
            if not self._staged:
                self._next_staged = -1
            if self.keeps_recent:
                self._remember(piece, size)
            if self.partition.segment_count != self._segment_count:
                await self.retain()
            self.on_commit()

    def _remember(self, piece: Piece, size: int) -> None:
        self._recent.append(piece)
        self._recent_size += size
        while self._recent_size > RECENT_SIZE and len(self._recent) > 1:
            self._recent_size -= _size(self._recent.popleft().records)

    def forget_recent(self) -> None:
        """Keep nothing in memory: nobody waits."""
        self.keeps_recent = False
        self._recent.clear()
        self._recent_size = 0

    # out

    def recent(self, offset: int) -> Piece | None:
        """Return the batch with message ``offset`` if it is in memory."""
        recent = self._recent
        if not recent or offset < recent[0].first:
            return None
        for piece in reversed(recent):
            if piece.first <= offset:
                return piece
        return None

    @asynccontextmanager
    async def used(self) -> AsyncIterator[Partition]:
        """Keep the partition open meanwhile. One that is not used for a while is closed."""
        self._user_count += 1
        try:
            yield self.partition
        finally:
            self._user_count -= 1
            if not self._user_count and self._unused is not None:
                self._unused.set()
            timers = self._streams.timers
            self._used_at = timers.now()
            if not self.is_deleted:
                self._streams.note_use(self)
            if self._idle is None and not (self._streams.is_volatile or self.is_deleted):
                self._idle = timers.call_later(self._streams.idle_s, self._check_idle)

    async def wait_until_unused(self) -> None:
        """Return when nobody uses the partition."""
        while self._user_count:
            self._unused = anyio.Event()
            await self._unused.wait()

    def _check_idle(self) -> None:
        timers = self._streams.timers
        deadline = self._used_at + self._streams.idle_s
        self._idle = None
        if self._user_count or self._staged or deadline > timers.now():
            deadline = max(deadline, timers.now() + self._streams.idle_s / 2)
            self._idle = timers.call_at(deadline, self._check_idle)
        else:
            self._streams.spawn(self.close)

    async def close(self) -> None:
        """Let go of files, if nobody uses them just now."""
        if not self._user_count:
            await self.partition.close()

    async def recover(self) -> None:
        """Find out what is there, after a restart. A stream that is damaged is out of order."""
        try:
            await self._load_tracked()
            await self.partition.open()
            await self.retain()
            await self.partition.close()
        except LogError as error:
            self.failure = str(error)
            text = "stream '%s' cannot be used: %s (for both with --stream %d)"
            logger.critical(text, self.name, error, self.number)

    def _track(self) -> None:
        """Have the places of consumers stored soon."""
        if self._tracking is None and not self.is_deleted:
            timers = self._streams.timers
            self._tracking = timers.call_later(
                TRACKING_DELAY_S, lambda: self._streams.spawn(self.store_tracked)
            )

    async def _load_tracked(self) -> None:
        data = await self._streams.storage.load_tracked(self.number)
        try:
            self.tracked.load(data)
        except (ValueError, AttributeError):
            logger.error("stream '%s': places of consumers are lost: %r", self.name, data[:64])

    async def store_tracked(self) -> None:
        """Store the places of consumers if one has moved. Raises LogUnavailable."""
        if self._tracking is None:
            return
        self._tracking.cancel()
        self._tracking = None
        async with self.used():
            if not self.is_deleted:
                await self._streams.storage.store_tracked(self.number, self.tracked.to_bytes())

    # deleting

    def apply(self, settings: QueueSettings) -> None:
        """Let other limits be in force."""
        self.settings = settings
        self._streams.spawn(self.retain)

    async def retain(self) -> None:
        """Delete what is too old or too much, and again when something else will be too old."""
        settings, partition = self.settings, self.partition
        self._segment_count = partition.segment_count
        if settings.max_size is None and settings.max_age_ms is None:
            return
        timers = self._streams.timers
        now_ms = timers.wall_ms()
        try:
            async with self.used():
                count = await partition.retain(
                    size=settings.max_size, age_ms=settings.max_age_ms, now_ms=now_ms
                )
        except LogError as error:
            logger.warning("stream '%s': nothing deleted: %s", self.name, error)
            return
        if count:
            logger.info("stream '%s': deleted %d messages", self.name, count)
        self._segment_count = partition.segment_count
        self._stop_expiry()
        until_ms = partition.oldest_until_ms()
        if settings.max_age_ms is not None and until_ms is not None and not self.is_deleted:
            delay_s = max(1, until_ms + settings.max_age_ms - now_ms) / 1000
            self._expiry = timers.call_later(delay_s, self._expire)

    def _expire(self) -> None:
        self._expiry = None
        self._streams.spawn(self.retain)

    def _stop_expiry(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def stop(self) -> None:
        """Wait for no time any more: the stream is deleted."""
        self.is_deleted = True
        self._stop_expiry()
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if self._tracking is not None:
            self._tracking.cancel()
            self._tracking = None
        self.forget_recent()


def _size(records: Sequence[EnqueueRecord]) -> int:
    return sum(len(record.bodies) + RECORD_COST for record in records)
