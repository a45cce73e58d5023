"""A consumer of a stream: its own place in it, and the next messages on their way from the disk.

::

              next_offset      loaded_to
    delivered │  chunk, in memory  │  on the disk, or in ``Stream.recent``  │  still to come

Consumers of a stream do not share messages, so nobody waits for a turn.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from amqpbroker.broker.consumer import Consumer, Consumers, mark_blocked, unmark_blocked
from amqpbroker.broker.stream_arguments import Start, filter_of, start_of
from amqpbroker.broker.stream_tracking import Track, wants_tracking
from amqpbroker.storage.partition import end_of
from amqpbroker.wire.stream_deliver import StreamEncoder

if TYPE_CHECKING:
    from amqpbroker.broker.channel import Channel
    from amqpbroker.broker.stream_queue import StreamQueue
    from amqpbroker.storage.partition import Piece
    from amqpbroker.storage.shard_record import EnqueueRecord
    from amqpbroker.wire.table import Table


class StreamConsumer(Consumer):
    """See the module."""

    __slots__ = (
        "_filter",
        "_filtered",
        "chunk",
        "is_gone",
        "is_reading",
        "loaded_to",
        "next_batch",
        "next_offset",
        "start",
        "track",
        "writer",
    )

    def __init__(
        self,
        channel: Channel,
        queue: StreamQueue,
        tag: str,
        *,
        is_exclusive: bool,
        arguments: Table,
    ) -> None:
        super().__init__(
            channel, queue, tag, no_ack=False, is_exclusive=is_exclusive, arguments=arguments
        )
        where = channel.described("queue", queue.name)
        now_ms = channel.vhost.timers.wall_ms()
        self.start = start_of(arguments, where, now_ms)
        self.track: Track | None = None
        """Who keeps its place, if it asks for that."""
        if wants_tracking(arguments, tag, where):
            tracked = queue.stream.tracked
            self.track = Track(tracked, tag)
            if tag in tracked.offsets:
                self.start = Start(offset=tracked.offsets[tag])
        self.next_offset = 0
        """What is delivered next; only what is not below it."""
        self.loaded_to = 0
        self.chunk: deque[EnqueueRecord] = deque()
        self.next_batch: int | None = None
        """The batch on the disk where ``loaded_to`` is, if that is known."""
        self.is_reading = True
        """Somebody reads for it, or finds out where to begin: it is not to be served."""
        self.is_gone = False
        self._filter = filter_of(arguments)
        self._filtered: tuple[bytes, bool] = (b"", False)
        """The last properties seen, and whether they are wanted."""
        self.writer = StreamEncoder(channel.number, tag, channel.session.wire.frame_size_max)

    def begin(self, offset: int, first: int, following: int) -> None:
        """Begin at ``offset``; the stream holds those from ``first`` to below ``following``."""
        self.next_offset = max(offset, first)
        self.loaded_to = min(self.next_offset, following)

    def load(self, piece: Piece) -> int:
        """Take what is wanted of the messages of a batch; return the bytes of the bodies."""
        size = 0
        wanted = max(self.loaded_to, self.next_offset)
        for record in piece.records:
            if end_of(record) > wanted and self._wants(record):
                self.chunk.append(record)
                size += len(record.bodies)
        self.loaded_to = max(self.loaded_to, piece.next)
        self.next_batch = piece.batch + 1
        return size

    def _wants(self, record: EnqueueRecord) -> bool:
        if self._filter is None:
            return True
        raw = record.raw_properties
        if raw != self._filtered[0]:
            self._filtered = raw, self._filter.matches(raw)
        return self._filtered[1]


class StreamConsumers(Consumers):
    """The consumers of a stream; ``awake`` are those who may get something."""

    __slots__ = ("awake",)

    def __init__(self) -> None:
        super().__init__(is_single_active=False)
        self.takes_turns = False
        self.awake: dict[Consumer, None] = {}

    def add(self, consumer: Consumer) -> None:
        """Add a consumer."""
        self._all[consumer] = None

    def remove(self, consumer: Consumer) -> None:
        """Remove a consumer."""
        del self._all[consumer]
        unmark_blocked(consumer)
        self.awake.pop(consumer, None)

    def block(self, consumer: Consumer) -> None:
        """Let a consumer sleep until it is unblocked."""
        mark_blocked(consumer)

    def resume(self, consumer: Consumer) -> None:
        """Wake a consumer that is blocked."""
        unmark_blocked(consumer)
        self.awake[consumer] = None
