"""A queue of type ``stream``: what is published stays, and every consumer reads all (A11.4-A11.7).

To the rest of the broker it is a queue. Its messages are a `stream.Stream`; settling gives a
consumer its credit back and changes nothing else. What a consumer needs next comes from memory when
it stands at the end of the stream, otherwise from the disk, in the background and about a megabyte
at a time, so that nobody waits for anybody else's replay.
"""

from __future__ import annotations

import logging
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from amqpbroker.broker.message import Delivery, Message
from amqpbroker.broker.queue import Queue
from amqpbroker.broker.ready import ReadyMessages
from amqpbroker.broker.stream import Stream
from amqpbroker.broker.stream_consumer import StreamConsumer, StreamConsumers
from amqpbroker.broker.stream_tracking import TrackedMessage
from amqpbroker.errors import not_implemented, precondition_failed
from amqpbroker.storage.log import LogError, Truncated
from amqpbroker.storage.partition import end_of
from amqpbroker.wire.content import Publication

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence

    from amqpbroker.broker.channel import Channel
    from amqpbroker.broker.consumer import Consumer
    from amqpbroker.broker.settings import QueueSettings
    from amqpbroker.broker.vhost import VHost
    from amqpbroker.storage.partition import Partition, Piece
    from amqpbroker.storage.shard_record import EnqueueRecord
    from amqpbroker.wire.table import Table

logger = logging.getLogger("amqpbroker.stream")

READ_SIZE: Final = 1 << 20
"""Bytes of bodies read ahead for a consumer, about."""
_STORED: Final = Message(Publication.of("", "", {}, 0), b"")
"""Stands for a message on loan, whose body nobody needs any more."""


class KeptMessages(ReadyMessages):
    """The messages of a stream as those of a queue, for who counts them."""

    __slots__ = ("_stream",)

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self._stream = stream

    def __len__(self) -> int:
        return len(self._stream)

    def __bool__(self) -> bool:
        return len(self._stream) > 0


class StreamQueue(Queue):
    """See the module."""

    __slots__ = ("stream",)

    stream: Stream
    consumers: StreamConsumers

    def __init__(self, name: str, *, arguments: Table, **fields: Any) -> None:
        """See `Queue`; nothing of it is written to the shard log."""
        super().__init__(name, arguments=arguments, **fields | {"journal": None})
        self.consumers = StreamConsumers()

    def join(self, vhost: VHost) -> None:
        """Become a queue of a vhost, which has given it an id."""
        self.vhost = vhost
        if vhost.policies:
            self.settings = vhost.policies.settings_of(self)
        self.stream = Stream(vhost.streams, self.name, self.id, self.settings)
        self.stream.on_commit = self._committed
        self.ready = KeptMessages(self.stream)

    def apply(self, settings: QueueSettings) -> None:
        """Let other limits be in force."""
        self.settings = settings
        self.stream.apply(settings)

    def stop(self) -> None:
        """Delete the messages: the queue is deleted."""
        assert self.vhost is not None
        self.vhost.streams.remove(self)

    # in

    @property
    def ticket(self) -> int:
        """The number of the commit that makes safe what was published last, 0 if none does."""
        assert self.vhost is not None
        journal = self.vhost.streams.journal
        return 0 if journal is None or self.stream.failure else journal.ticket

    def publish(
        self,
        publication: Publication,
        bodies: list[bytes],
        messages: list[Message] | None = None,
    ) -> int:
        """Have messages written; returns how many are refused: all, if it is out of order."""
        stream = self.stream
        if stream.failure is not None:
            return len(bodies)
        assert self.vhost is not None
        streams = self.vhost.streams
        stream.stage(publication, bodies, streams.timers.wall_ms())
        if streams.journal is not None:
            streams.journal.attend(stream, self, publication.body_size * len(bodies))
        elif not stream.is_committing:
            stream.is_committing = True
            streams.spawn(stream.commit_alone)
        return 0

    def recover(self, messages: Sequence[Message]) -> None:
        """Take nothing: the shard log holds no messages of streams."""

    def requeue(self, deliveries: Iterable[Delivery], *, is_lost: bool = False) -> None:
        """Forget deliveries of a channel that closes; the messages are where they were."""
        for _ in deliveries:
            self.unsettled_count -= 1

    def settle(self, messages: Iterable[Message]) -> None:
        """Remember for a consumer that asks for it how far it has got."""
        for message in messages:
            if isinstance(message, TrackedMessage):
                message.settle()

    def purge(self) -> int:
        """Drop nothing; the messages of a stream that is deleted are not counted."""
        return 0

    # consumers

    def subscribe(
        self, channel: Channel, tag: str, *, is_exclusive: bool, arguments: Table
    ) -> StreamConsumer:
        """Return a new consumer, which is to be added.

        Raises :class:`~amqpbroker.errors.SoftError` 406 if the stream is out of order.
        """
        if self.stream.failure is not None:
            where = channel.described("queue", self.name)
            text = f"stream {where} does not have a running replica on the local node"
            raise precondition_failed(text)
        return StreamConsumer(channel, self, tag, is_exclusive=is_exclusive, arguments=arguments)

    def add_consumer(self, consumer: Consumer) -> None:
        """Let a consumer take part."""
        assert isinstance(consumer, StreamConsumer)
        self.consumers.add(consumer)
        self.stream.keeps_recent = True
        start, part = consumer.start, self.stream.partition
        if start.timestamp_ms is not None:
            self._spawn(partial(self._begin_at_time, consumer, start.timestamp_ms))
            return
        offset = start.offset
        if offset is None:
            offset = {"first": part.first, "last": part.next - 1, "next": part.next}[start.name]
        self._begin(consumer, offset)

    async def _begin_at_time(self, consumer: StreamConsumer, timestamp_ms: int) -> None:
        try:
            async with self.stream.used() as part:
                offset = await part.offset_at_time(timestamp_ms)
        except LogError as error:
            self._give_up(consumer, error)
            return
        if not consumer.is_gone:
            self._begin(consumer, offset)
            self.pump()
            self._flush()

    def _begin(self, consumer: StreamConsumer, offset: int) -> None:
        part = self.stream.partition
        consumer.begin(offset, part.first, part.next)
        consumer.is_reading = False
        self.consumers.awake[consumer] = None

    def remove_consumer(self, consumer: Consumer) -> None:
        """Let a consumer leave."""
        assert isinstance(consumer, StreamConsumer)
        consumer.is_gone = True
        consumer.chunk.clear()
        self.consumers.remove(consumer)
        if not len(self.consumers):
            self.stream.forget_recent()

    # out

    def pump(self) -> None:
        """Deliver to those who are awake what there is in memory; have the rest read."""
        awake = self.consumers.awake
        while awake:
            consumer = next(iter(awake))
            del awake[consumer]
            assert isinstance(consumer, StreamConsumer)
            if not consumer.is_reading and not consumer.is_blocked:
                self._serve(consumer)

    def _committed(self) -> None:
        """There is more at the end."""
        for consumer in self.consumers:
            if not consumer.is_blocked:
                self.consumers.awake[consumer] = None
        self.pump()

    def _serve(self, consumer: StreamConsumer) -> None:
        while self._has_chunk(consumer):
            room = consumer.room()
            if room <= 0:
                self.consumers.block(consumer)
                return
            record = consumer.chunk[0]
            start = max(record.first, consumer.next_offset)
            sent = self._hand_on(consumer, record, start, room)
            consumer.next_offset = start + sent
            if consumer.next_offset >= end_of(record):
                consumer.chunk.popleft()

    def _has_chunk(self, consumer: StreamConsumer) -> bool:
        """Return whether there is something in memory; if not but on the disk, have it read."""
        stream = self.stream
        while not consumer.chunk:
            if consumer.loaded_to >= stream.partition.next:
                return False
            piece = stream.recent(consumer.loaded_to)
            if piece is None:
                consumer.is_reading = True
                self._spawn(partial(self._read, consumer))
                return False
            consumer.load(piece)
        return True

    def _hand_on(
        self, consumer: StreamConsumer, record: EnqueueRecord, offset: int, room: int
    ) -> int:
        """Deliver messages of a record from ``offset`` on; return how many."""
        channel = consumer.channel
        session = channel.session
        body_size = record.body_size
        size = consumer.writer.prepare(
            record.exchange, record.routing_key, record.raw_properties, body_size
        )
        count = min(room, end_of(record) - offset, session.room_size // size + 1)
        place = (offset - record.first) * body_size
        stop = place + count * body_size
        bodies = (
            [record.bodies[at : at + body_size] for at in range(place, stop, body_size)]
            if body_size
            else [b""] * count
        )
        first_tag = channel.last_tag + 1
        channel.last_tag += count
        wire = session.wire
        consumer.writer.deliver_run(wire.outgoing, first_tag, offset, bodies)
        wire.outgoing_size += size * count
        session.touch()
        to_offset = offset - first_tag
        track = consumer.track
        channel.lend(
            [
                Delivery(
                    tag,
                    self,
                    tag + to_offset,
                    _STORED if track is None else track.lend(tag + to_offset),
                    consumer,
                )
                for tag in range(first_tag, first_tag + count)
            ]
        )
        return count

    async def _read(self, consumer: StreamConsumer) -> None:
        """Read on for a consumer that has nothing left, and serve it."""
        try:
            async with self.stream.used() as part:
                await _load(consumer, part)
        except LogError as error:
            self._give_up(consumer, error)
            return
        consumer.is_reading = False
        if not consumer.is_gone:
            self.consumers.awake[consumer] = None
            self.pump()
            self._flush()

    def _give_up(self, consumer: StreamConsumer, error: LogError) -> None:
        """End a consumer whose messages cannot be read."""
        logger.error("stream '%s': a consumer is cancelled: %s", self.name, error)
        if not consumer.is_gone:
            self.remove_consumer(consumer)
            del consumer.channel.consumers[consumer.tag]
            consumer.channel.session.cancelled_by_server(consumer)
            self._flush()

    def _spawn(self, job: partial[Coroutine[None, None, None]]) -> None:
        assert self.vhost is not None
        self.vhost.streams.spawn(job)

    def _flush(self) -> None:
        assert self.vhost is not None
        self.vhost.streams.flush()


async def _load(consumer: StreamConsumer, part: Partition) -> None:
    """Read the next messages for a consumer, READ_SIZE bytes or a little more."""
    while not consumer.is_gone:
        if consumer.next_batch is None:
            consumer.next_batch = await part.locate(consumer.loaded_to)
        try:
            async with aclosing(part.read(consumer.next_batch)) as pieces:
                await _load_pieces(consumer, pieces)
        except Truncated:  # retention was faster than the consumer
            consumer.next_batch = None
            consumer.loaded_to = max(consumer.loaded_to, part.first)
        else:
            return


async def _load_pieces(consumer: StreamConsumer, pieces: AsyncIterator[Piece]) -> None:
    size = 0
    async for piece in pieces:
        size += consumer.load(piece)
        if size >= READ_SIZE or consumer.is_gone:
            return


def refuse_streams(deliveries: Iterable[Delivery]) -> None:
    """Refuse to requeue or drop messages of streams, as RabbitMQ does.

    Raises :class:`~amqpbroker.errors.HardError` 540.
    """
    for delivery in deliveries:
        queue = delivery.queue
        if queue.type == "stream" and delivery.consumer is not None:
            where = delivery.consumer.channel.described("queue", queue.name)
            raise not_implemented(
                f"basic.nack and basic.reject not supported by stream queues {where}"
            )
