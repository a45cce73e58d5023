"""A queue: ready messages on one side, consumers on the other.

publish → (a ready consumer | ready messages) → deliver → settle. A message that meets a consumer
with room never becomes ready. Whatever may free a consumer or add a message ends in ``pump``.

What a queue can do beyond that is done by objects that an ordinary queue does not have: ``limits``,
``expiry``, ``lease``, ``retries`` and ``dispatch``, each with a module of its name, and an
``IndexedReady`` in place of ``ReadyMessages``. This is the classic queue; other types are in
``queue_types``.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from amqpbroker.broker.arguments import queue_type
from amqpbroker.broker.bodies import in_memory, may_deliver, take_paged
from amqpbroker.broker.consumer import Consumers
from amqpbroker.broker.dead_letter import EXPIRED, MAXLEN
from amqpbroker.broker.delivery_count import uncounted
from amqpbroker.broker.expiry import Expiry
from amqpbroker.broker.indexed_ready import IndexedReady
from amqpbroker.broker.lease import Lease
from amqpbroker.broker.limits import Limits
from amqpbroker.broker.message import Delivery, Message
from amqpbroker.broker.message_groups import MessageGroups
from amqpbroker.broker.partitions import Partitions
from amqpbroker.broker.ready import ReadyMessages
from amqpbroker.broker.retries import Retries
from amqpbroker.broker.runs import Run
from amqpbroker.broker.settings import ORDINARY, QueueSettings
from amqpbroker.broker.sticky_groups import StickyGroups

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from amqpbroker.broker.consumer import Consumer
    from amqpbroker.broker.deduplication import Window
    from amqpbroker.broker.dispatch import Dispatch
    from amqpbroker.broker.journal import Journal
    from amqpbroker.broker.paging import Pager
    from amqpbroker.broker.ready import Ready
    from amqpbroker.broker.session import Session
    from amqpbroker.broker.vhost import VHost
    from amqpbroker.storage.catalog import Ticket
    from amqpbroker.wire.content import Publication
    from amqpbroker.wire.table import Table


class Queue:
    """One queue of a vhost."""

    __slots__ = (
        "arguments",
        "consumers",
        "definition",
        "dispatch",
        "exclusive_consumer",
        "expiry",
        "had_consumer",
        "has_deadlines",
        "id",
        "is_auto_delete",
        "is_deleted",
        "is_durable",
        "is_ordinary",
        "journal",
        "lease",
        "limits",
        "name",
        "owner",
        "pager",
        "ready",
        "retries",
        "settings",
        "type",
        "unsettled_count",
        "vhost",
        "window",
    )

    keeps_bodies: ClassVar[bool] = False
    keeps_transient: ClassVar[bool] = False
    """Whether the log keeps all its messages, not only persistent ones."""
    is_refusing_late: ClassVar[bool] = False
    """Whether what refuses messages at a limit takes one too many."""

    def __init__(
        self,
        name: str,
        *,
        is_durable: bool,
        is_auto_delete: bool,
        arguments: Table,
        owner: Session | None = None,
        journal: Journal | None = None,
        queue_id: int = 0,
    ) -> None:
        self.name = name
        self.id = queue_id
        """Names a durable queue in the log, never reused; 0 for a queue that is not there."""
        self.definition: Ticket | None = None
        """Until the catalog has stored it: what must be waited for."""
        self.journal = journal
        """Where a durable queue writes; None if nothing of it is kept."""
        self.pager: Pager | None = None
        """Knows the bodies that are not in memory; None if all of all queues are."""
        self.is_durable = is_durable
        self.is_auto_delete = is_auto_delete
        self.arguments = arguments
        self.type = queue_type(arguments)
        self.owner = owner
        """The connection that an exclusive queue belongs to (FEATURES A4.5)."""
        single = arguments.get("x-single-active-consumer")
        self.consumers = Consumers(is_single_active=single is not None and bool(single.value))
        self.exclusive_consumer: Consumer | None = None
        self.had_consumer = False
        self.has_deadlines = False
        """Whether deliveries may be lent for a limited time; see ``ack_deadlines``."""
        self.is_deleted = False
        self.ready = ReadyMessages()
        self.unsettled_count = 0
        self.settings = QueueSettings.of(arguments)
        self.limits: Limits | None = None
        self.expiry: Expiry | None = None
        self.lease: Lease | None = None
        self.dispatch: Dispatch | None = None
        self.retries: Retries | None = None
        self.is_ordinary = True
        """Whether publishing has nothing to look after."""
        self.vhost: VHost | None = None
        self.window: Window | None = None
        """What keeps duplicates out."""

    # settings

    def join(self, vhost: VHost) -> None:
        """Become a queue of a vhost."""
        self.vhost = vhost
        self.pager = vhost.pager
        vhost.windows.add_queue(self)
        settings = vhost.policies.settings_of(self) if vhost.policies else self.settings
        if settings is not ORDINARY:
            self.apply(settings)

    def apply(self, settings: QueueSettings) -> None:
        """Let settings be in force from now on; what is here already keeps its deadlines."""
        vhost = self.vhost
        assert vhost is not None
        self.settings = settings
        if self.dispatch is None and settings.message_groups:
            groups = (StickyGroups if settings.sticky_groups else MessageGroups)(self)
            self.dispatch = groups
            self.ready = groups.ready
        if self.dispatch is None and settings.partitions > 1:
            self.dispatch = partitions = Partitions(self, settings.partitions)
            self.ready = partitions.ready
        if settings.retry_min_ms is not None and self.dispatch is None and self.retries is None:
            self.retries = Retries(self)
        self.limits = Limits.of(settings, is_late=self.is_refusing_late)
        if self.limits is not None or settings.max_priority or self.retries is not None:
            self.ready = IndexedReady.of(self.ready, settings.max_priority)
        if settings.message_ttl_ms is not None or self.expiry is not None:
            self.expect_expiry().ttl_ms = settings.message_ttl_ms
        if self.lease is not None:
            self.lease.stop()
            self.lease = None
        if settings.expires_ms is not None:
            self.lease = Lease(
                vhost.timers, self.consumers, settings.expires_ms, partial(vhost.expire_queue, self)
            )
        features = (self.limits, self.expiry, self.dispatch)
        self.is_ordinary = not any(feature is not None for feature in features)
        if settings.ack_deadline_ms is not None or settings.consumer_timeout_ms is not None:
            self.has_deadlines = True
        self._keep_limits()

    def expect_expiry(self) -> Expiry:
        """Be prepared for messages that live for a limited time."""
        if self.expiry is None:
            assert self.vhost is not None
            ready = self.ready = IndexedReady.of(self.ready, self.settings.max_priority)
            self.expiry = Expiry(ready, self.vhost.timers, partial(self._discard, EXPIRED))
            self.is_ordinary = False
        return self.expiry

    def stop(self) -> None:
        """Let go of what waits for a time: the queue is deleted."""
        if self.expiry is not None:
            self.expiry.stop()
        if self.lease is not None:
            self.lease.stop()
        if self.window is not None:
            self.window.discard()
        if self.retries is not None:
            self.retries.stop()

    # in

    def publish(
        self,
        publication: Publication,
        bodies: list[bytes],
        messages: list[Message] | None = None,
    ) -> int:
        """Take messages that share a publication: to a consumer at once, or to the tail.

        ``messages`` are the same as objects, where they exist already because they are kept.
        Returns how many are refused, always the last ones.
        """
        if not self.is_ordinary:
            return self._publish_checked(publication, bodies, messages)
        start = 0
        if not self.ready:
            start = self._hand_over(publication, bodies, messages)
        if start < len(bodies):
            pager = self.pager
            if messages is not None:
                self.ready.extend(messages[start:])
            elif pager is None:
                self.ready.extend([Message(publication, body) for body in bodies[start:]])
            else:
                new = pager.spill.take(self, publication, bodies[start:])
                self.ready.extend(new)
                if pager.is_over:
                    pager.spill.stage(new)
            publication.forget_properties()
            self._deliver()
        return 0

    def _publish_checked(
        self, publication: Publication, bodies: list[bytes], messages: list[Message] | None
    ) -> int:
        """Publish to a queue that is not ordinary.

        All messages are taken in and offered to the consumers; after that it is seen what is too
        much. Message by message the outcome would be the same.
        """
        ready, limits, pager = self.ready, self.limits, self.pager
        assert isinstance(ready, IndexedReady)
        is_kept = messages is not None
        if messages is None:
            if pager is None:
                messages = [Message(publication, body) for body in bodies]
            else:
                messages = pager.spill.take(self, publication, bodies)
        expiry = self.expiry
        if expiry is not None:
            expiry.drop_due()
            messages = expiry.marked(publication, messages)
        size = publication.body_size
        if limits is not None and limits.is_refusing and not limits.has_room(ready, size):
            self._discard(limits.refusal_reason, messages)
            return len(messages)
        start = 0
        if not ready and self.dispatch is None:
            start = self._hand_over(publication, bodies, messages)
        if start < len(messages):
            first = ready.next_position
            ready.extend(messages[start:])
            if not is_kept and pager is not None and pager.is_over:
                pager.spill.stage(messages[start:])
            new = range(first, ready.next_position)
            self._deliver()
            if expiry is not None:
                expiry.watch(first, messages[start:])
                expiry.drop_due()
            if limits is not None and limits.is_refusing:
                return self._refuse_excess(limits, size, new)
            self._keep_limits()
        return 0

    def _refuse_excess(self, limits: Limits, body_size: int, new: range) -> int:
        """Refuse those of the new messages that are too much; return how many."""
        ready = self.ready
        assert isinstance(ready, IndexedReady)
        excess = limits.excess(ready, body_size)
        if not excess:
            return 0
        taken = [ready.remove(position) for position in new[-excess:]]
        refused = [message for message in taken if message is not None]
        self._discard(limits.refusal_reason, refused)
        return len(refused)

    def _keep_limits(self) -> None:
        """Make room at the head if that is what is to be done."""
        limits = self.limits
        if limits is not None and not limits.is_refusing:
            assert isinstance(self.ready, IndexedReady)
            dropped = limits.drop_head(self.ready)
            if dropped:
                self._discard(MAXLEN, dropped)

    def _discard(self, reason: str | None, messages: Sequence[Message]) -> None:
        """Let messages go that nobody has consumed: as dead letters if there is a reason."""
        if reason is not None:
            self.dead_letter(reason, messages)
        self.settle(messages)

    def dead_letter(self, reason: str, messages: Sequence[Message]) -> None:
        """Publish messages that leave to the dead-letter exchange, if there is one.

        They are to be settled in the same go.
        """
        if self.settings.dead_letter_exchange is not None and not self.is_deleted:
            assert self.vhost is not None
            if self.retries is not None:
                messages = [uncounted(message) for message in messages]
            self.vhost.dead_letters.publish(self, reason, messages)

    def recover(self, messages: Sequence[Message]) -> None:
        """Fill with what was here before a restart; times to live have gone on meanwhile."""
        if any(message.publication.has("expiration") for message in messages):
            self.expect_expiry()
        expiry = self.expiry
        if expiry is not None:
            messages = expiry.recovered(messages)
        self.ready.recover(messages)
        if expiry is not None:
            expiry.watch_all()
        if self.retries is not None:
            self.retries.recover()

    def _hand_over(
        self, publication: Publication, bodies: list[bytes], messages: list[Message] | None
    ) -> int:
        """Deliver from the front of ``bodies`` to whose turn it is; return how many."""
        turn = self.consumers.next()
        if turn is None:
            return 0
        consumer, room = turn
        channel = consumer.channel
        if len(bodies) == 1:
            count, run = 1, bodies
            first_tag = channel.deliver(consumer, publication, bodies[0], False)
        else:
            size = consumer.encoder.size(publication)
            count = min(room, len(bodies), channel.session.room_size // size + 1)
            run = bodies if count == len(bodies) else bodies[:count]
            first_tag = channel.deliver_run(consumer, publication, run, size)
        position = self.ready.skip(count)
        if consumer.no_ack:
            if messages is not None and self.journal is not None:
                self.journal.settle(self, messages[:count])
            return count
        if messages is None:
            messages = [Message(publication, body) for body in run]
        self._lend(consumer, position, first_tag, messages[:count])
        return count

    def requeue(self, deliveries: Iterable[Delivery], *, is_lost: bool = False) -> None:
        """Put messages back in their places (FEATURES A6.9); ``is_lost``: with their channel."""
        if self.retries is not None:
            deliveries = self.retries.take_back(deliveries, is_lost=is_lost)
        for delivery in deliveries:
            self.unsettled_count -= 1
            if self.is_deleted:
                self.settle((delivery.message,))
            else:
                self.ready.give_back(delivery.position, delivery.message)
                if self.expiry is not None:
                    self.expiry.watch(delivery.position, (delivery.message,))
        if not self.is_ordinary:
            if self.expiry is not None:
                self.expiry.drop_due()
            self._keep_limits()

    # out

    def pump(self) -> None:
        """Deliver ready messages as long as consumers have room."""
        if self.expiry is not None:
            self.expiry.drop_due()
        self._deliver()

    def _deliver(self) -> None:
        if self.dispatch is not None:
            self.dispatch.deliver()
            return
        ready, pager = self.ready, self.pager
        while ready:
            if pager is not None and pager.is_used and not may_deliver(self):
                return
            turn = self.consumers.next()
            if turn is None:
                return
            consumer, room = turn
            session = consumer.channel.session
            left = min(room, len(ready))
            while left > 0:
                if pager is not None and pager.is_used:
                    taken = take_paged(self, left, session.room_size)
                    if taken is None:
                        return
                    position, run, bodies, is_redelivered = taken
                else:
                    position, run, is_redelivered = ready.pop_run(left, session.room_size)
                    bodies = in_memory(run)
                self.deliver_run(consumer, position, run, bodies, is_redelivered)
                left -= len(run)
                if session.is_full:
                    break

    def deliver_run(
        self,
        consumer: Consumer,
        position: int,
        run: list[Message],
        bodies: list[bytes],
        is_redelivered: bool,
    ) -> None:
        """Deliver messages that share a publication, from ``position`` on."""
        channel = consumer.channel
        publication = run[0].publication
        if len(run) == 1:
            first_tag = channel.deliver(consumer, publication, bodies[0], is_redelivered)
        else:
            size = consumer.encoder.size(publication)
            first_tag = channel.deliver_run(consumer, publication, bodies, size, is_redelivered)
        if not consumer.no_ack:
            self._lend(consumer, position, first_tag, run)
        elif self.journal is not None and isinstance(run[0].run, Run):
            self.settle(run)

    def _lend(
        self, consumer: Consumer, position: int, first_tag: int, run: Sequence[Message]
    ) -> None:
        """Let messages be on loan to a consumer until it settles them."""
        to_position = position - first_tag
        consumer.channel.lend(
            [
                Delivery(tag, self, tag + to_position, message, consumer)
                for tag, message in enumerate(run, first_tag)
            ]
        )

    def get(self) -> Ready | None:
        """Take the message at the head for basic.get, None if there is none."""
        self.renew()
        if self.expiry is not None:
            self.expiry.drop_due()
        if self.dispatch is not None:
            return self.dispatch.get()
        return self.ready.pop() if self.ready else None

    def settle(self, messages: Iterable[Message]) -> None:
        """Let the log know that messages are gone for good."""
        if self.journal is None:
            return
        if self.is_deleted:
            self.journal.abandon(self, messages)
        else:
            self.journal.settle(self, messages)

    def purge(self) -> int:
        """Drop the ready messages; return how many (FEATURES A4.9)."""
        messages = self.ready.clear()
        self.settle(messages)
        return len(messages)

    # consumers

    def add_consumer(self, consumer: Consumer) -> None:
        """Let a consumer take part; the caller pumps after consume-ok is on its way (T11)."""
        self.consumers.add(consumer)
        self.had_consumer = True
        if consumer.is_exclusive:
            self.exclusive_consumer = consumer
        if "x-ack-deadline" in consumer.arguments or "x-consumer-timeout" in consumer.arguments:
            self.has_deadlines = True
        if self.dispatch is not None:
            self.dispatch.consumers_changed()

    def remove_consumer(self, consumer: Consumer) -> None:
        """Let a consumer leave; its unsettled deliveries stay with its channel."""
        self.consumers.remove(consumer)
        if self.exclusive_consumer is consumer:
            self.exclusive_consumer = None
        if self.dispatch is not None:
            self.dispatch.consumers_changed()
        self.renew()

    def renew(self) -> None:
        """The queue has been used (x-expires)."""
        if self.lease is not None:
            self.lease.renew()

    @property
    def is_abandoned(self) -> bool:
        """Whether auto-delete applies: there were consumers and the last has left (A4.6)."""
        return self.is_auto_delete and self.had_consumer and not len(self.consumers)
