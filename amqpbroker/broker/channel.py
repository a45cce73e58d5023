"""An open channel: its consumers, what it has on loan, and its mode (plain, confirm, transaction).

Everything a client settles goes through ``take`` (which deliveries a tag means) and then ``ack``,
``requeue`` or ``drop``; each ends by giving room back to consumers (``returned_room``).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from amqpbroker.broker.ack_deadlines import AckDeadlines
from amqpbroker.broker.dead_letter import REJECTED
from amqpbroker.broker.names import described
from amqpbroker.broker.returned_room import give_back
from amqpbroker.broker.runs import Run
from amqpbroker.errors import not_found, precondition_failed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from amqpbroker.broker.confirms import Confirms
    from amqpbroker.broker.consumer import Consumer
    from amqpbroker.broker.direct_reply_to import ReplyConsumer
    from amqpbroker.broker.error_note import ErrorNotes
    from amqpbroker.broker.message import Delivery, Message
    from amqpbroker.broker.queue import Queue
    from amqpbroker.broker.session import Session
    from amqpbroker.broker.transaction import Transaction
    from amqpbroker.broker.vhost import VHost
    from amqpbroker.wire.content import Publication


class Channel:
    """One channel of a session."""

    __slots__ = (
        "_left",
        "_lends_by_dispatch",
        "blocked",
        "confirms",
        "consumers",
        "deadlines",
        "error_notes",
        "generated_name",
        "last_queue_name",
        "last_tag",
        "number",
        "prefetch_count",
        "prefetch_count_global",
        "reply_consumer",
        "session",
        "tag_notes",
        "transaction",
        "unsettled",
        "unsettled_count",
        "vhost",
    )

    def __init__(self, session: Session, vhost: VHost, number: int) -> None:
        self.session = session
        self.vhost = vhost
        self.number = number
        self.consumers: dict[str, Consumer] = {}
        self.blocked: dict[Consumer, None] = {}
        """Those that had no room when their turn came; who was found so first is first."""
        self.generated_name = ""
        """Of a queue to be, while a backend is asked whether it may."""
        self.unsettled: dict[int, Delivery] = {}
        """Delivery tag → delivery, in the order of tags."""
        self.unsettled_count = 0
        """Unsettled deliveries to consumers, which the global prefetch limits; not those of get."""
        self.last_tag = 0
        self.deadlines: AckDeadlines | None = None
        """Made with the first delivery that is not lent for as long as it takes."""
        self.tag_notes: deque[tuple[float, int]] = deque()
        """(time, last tag then); see ``consumer_timeout``."""
        self.prefetch_count = session.broker.config.default_consumer_prefetch
        """For consumers to come (basic.qos global=false)."""
        self.prefetch_count_global = 0
        """For all consumers together (basic.qos global=true); 0 = none."""
        self.last_queue_name: str | None = None
        """What an empty queue name means (FEATURES A4.3)."""
        self.confirms: Confirms | None = None
        self.transaction: Transaction | None = None
        self.reply_consumer: ReplyConsumer | None = None
        self.error_notes: ErrorNotes | None = None
        """Why deliveries have failed, as far as the client has said so."""
        self._left: dict[Queue, None] = {}
        self._lends_by_dispatch = False
        """Whether anything was on loan here of a queue that wants to know what becomes of it."""

    # deliver

    def deliver(
        self, consumer: Consumer, publication: Publication, body: bytes, redelivered: bool
    ) -> int:
        """Write one delivery; return its tag."""
        self.last_tag = tag = self.last_tag + 1
        session = self.session
        session.wire.write(consumer.encoder.deliver(tag, redelivered, publication, body))
        session.touch()
        return tag

    def deliver_run(
        self,
        consumer: Consumer,
        publication: Publication,
        bodies: Sequence[bytes],
        size: int,
        redelivered: bool = False,
    ) -> int:
        """Write deliveries of ``size`` bytes each; return the first tag."""
        first = self.last_tag + 1
        self.last_tag += len(bodies)
        session = self.session
        wire = session.wire
        consumer.encoder.deliver_run(wire.outgoing, first, publication, bodies, redelivered)
        wire.outgoing_size += size * len(bodies)
        session.touch()
        return first

    def lend(self, loans: Sequence[Delivery]) -> None:
        """Remember deliveries of one queue to one consumer (or get) until they are settled."""
        count = len(loans)
        unsettled = self.unsettled
        for delivery in loans:
            unsettled[delivery.tag] = delivery
        queue = loans[0].queue
        queue.unsettled_count += count
        if queue.has_deadlines:
            if self.deadlines is None:
                self.deadlines = AckDeadlines(self)
            self.deadlines.watch(loans)
        if queue.dispatch is not None:
            self._lends_by_dispatch = True
            queue.dispatch.lent(loans)
        consumer = loans[0].consumer
        if consumer is not None:
            self.unsettled_count += count
            consumer.unsettled_count += count

    # settle

    def take(self, tag: int, multiple: bool) -> list[Delivery]:
        """Remove and return the deliveries that a tag means (FEATURES A6.8).

        Raises :class:`~amqpbroker.errors.SoftError` 406 for a tag that is not outstanding; tag 0
        with ``multiple`` means all there are, if any. What is not outstanding because its deadline
        is over may be settled in vain.
        """
        unsettled = self.unsettled
        if multiple and tag == 0:
            deliveries = list(unsettled.values())
            unsettled.clear()
            return deliveries
        if tag not in unsettled and not self._may_be_late(tag):
            raise precondition_failed(f"unknown delivery tag {tag}")
        if not multiple:
            return [unsettled.pop(tag)] if tag in unsettled else []
        tags = []
        for outstanding in unsettled:
            if outstanding > tag:
                break
            tags.append(outstanding)
        return [unsettled.pop(outstanding) for outstanding in tags]

    def take_run(self, tags: Iterable[int]) -> list[Delivery]:
        """Remove and return the deliveries of single tags.

        Raises :class:`~amqpbroker.errors.SoftError` 406 at the first one that is not outstanding;
        those before it are acknowledged, as if they had come one by one.
        """
        pop = self.unsettled.pop
        deliveries: list[Delivery] = []
        remaining = iter(tags)
        while True:
            try:
                for tag in remaining:
                    deliveries.append(pop(tag))
            except KeyError:
                if self._may_be_late(tag):
                    continue
                if self.transaction is None:
                    self.ack(deliveries)
                else:
                    self.transaction.settle("ack", deliveries)
                raise precondition_failed(f"unknown delivery tag {tag}") from None
            return deliveries

    def _may_be_late(self, tag: int) -> bool:
        """Return whether a tag may be of a delivery whose deadline is over (FEATURES N4)."""
        return self.deadlines is not None and 0 < tag <= self.deadlines.returned_until

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Forget messages that are done."""
        kept: dict[Queue, list[Message]] = {}
        for delivery in deliveries:
            queue = delivery.queue
            queue.unsettled_count -= 1
            if isinstance(delivery.message.run, Run):
                kept.setdefault(queue, []).append(delivery.message)
        for queue, messages in kept.items():
            queue.settle(messages)
        settled = self._settled_by_queue(deliveries) if self._lends_by_dispatch else ()
        give_back(self, deliveries)
        for queue in settled:
            queue.pump()

    def _settled_by_queue(self, deliveries: Sequence[Delivery]) -> Iterable[Queue]:
        """Tell queues with a dispatch what has become of their loans; return these queues."""
        settled: dict[Queue, list[Delivery]] = {}
        for delivery in deliveries:
            if delivery.queue.dispatch is not None:
                settled.setdefault(delivery.queue, []).append(delivery)
        for queue, items in settled.items():
            assert queue.dispatch is not None
            queue.dispatch.settled(items)
        return settled

    def drop(self, deliveries: Sequence[Delivery]) -> None:
        """Give up messages that were rejected for good: they become dead letters."""
        if self.error_notes is not None:
            self.error_notes.write_on(deliveries)
        dead: dict[Queue, list[Message]] = {}
        for delivery in deliveries:
            if delivery.queue.settings.dead_letter_exchange is not None:
                dead.setdefault(delivery.queue, []).append(delivery.message)
        for queue, messages in dead.items():
            queue.dead_letter(REJECTED, messages)
        self.ack(deliveries)

    def requeue(self, deliveries: Sequence[Delivery], *, is_lost: bool = False) -> None:
        """Put messages back in their places; ``is_lost``: nobody has returned them."""
        if self.error_notes is not None:
            self.error_notes.write_on(item for item in deliveries if item.queue.retries is not None)
        queues: dict[Queue, list[Delivery]] = {}
        for delivery in deliveries:
            queues.setdefault(delivery.queue, []).append(delivery)
        for queue, returned in queues.items():
            queue.requeue(returned, is_lost=is_lost)
        give_back(self, deliveries)
        for queue in queues:
            queue.pump()

    def deliveries(self) -> Iterator[Delivery]:
        """Yield all deliveries that are not settled, those in a transaction included."""
        yield from self.unsettled.values()
        if self.transaction is not None:
            yield from self.transaction.deliveries()

    # names

    def queue_name(self, name: str) -> str:
        """Return ``name``, or for an empty one the queue declared last on this channel.

        Raises :class:`~amqpbroker.errors.SoftError` 404 if there is none (FEATURES A4.3).
        """
        if name:
            return name
        if self.last_queue_name is None:
            raise not_found("no previously declared queue")
        return self.last_queue_name

    def described(self, kind: str, name: str) -> str:
        """Return how error texts name a resource of this vhost."""
        return described(kind, name, self.vhost.name)

    # close

    def leave(self) -> None:
        """Take all consumers from their queues, so that nothing more is delivered here."""
        for consumer in self.consumers.values():
            consumer.queue.remove_consumer(consumer)
            self._left[consumer.queue] = None
        self.consumers.clear()

    def close(self) -> None:
        """Give everything back: consumers leave, deliveries are requeued, a transaction is void."""
        self.leave()
        if self.reply_consumer is not None:
            self.reply_consumer.close()
            self.reply_consumer = None
        if self.transaction is not None:
            self.transaction.rollback()
            self.transaction = None
        if self.confirms is not None:
            self.confirms.close()
            self.confirms = None
        if self.deadlines is not None:
            self.deadlines.stop()
        deliveries = list(self.unsettled.values())
        self.unsettled.clear()
        self.requeue(deliveries, is_lost=True)
        for queue in self._left:
            queue.pump()
            if queue.is_abandoned and not queue.is_deleted:
                self.vhost.delete_queue(queue)
        self._left.clear()
