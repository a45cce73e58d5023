"""A quorum queue on one node (FEATURES A11.1).

RabbitMQ replicates such queues; with one node there is nobody to replicate to, so this is a durable
queue with the rules of its type. https://www.rabbitmq.com/docs/quorum-queues

- Transient messages are kept on disk too (A5.11).
- What comes back is counted (A9.15). Beyond the delivery limit it dies (A9.14).
- With a limit, what comes back stands in line before all that has not been delivered. Without one
  it goes to the tail, unless its channel is lost; both as on RabbitMQ 3.10 to 3.13.
- The limits of reject-publish are noticed late: one message too many is taken (A9.6).
- Dead letters can be made to arrive (A10.10); see ``at_least_once``.
- Exclusive consumers and global prefetch do not exist.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from amqpbroker.broker.at_least_once import Held
from amqpbroker.broker.dead_letter import DELIVERY_LIMIT
from amqpbroker.broker.delivery_count import counted, delivery_count, uncounted
from amqpbroker.broker.queue import Queue
from amqpbroker.broker.settings import AT_LEAST_ONCE, REJECT_PUBLISH

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from amqpbroker.broker.consumer import Consumer
    from amqpbroker.broker.message import Delivery, Message
    from amqpbroker.broker.ready import Ready
    from amqpbroker.broker.settings import QueueSettings

logger = logging.getLogger("amqpbroker.quorum_queue")

RETURNED_POSITION: Final = -(1 << 62)
"""Messages that came back take positions from here on: before all others, in order."""


class QuorumQueue(Queue):
    """One quorum queue of a vhost."""

    __slots__ = ("_return_position", "_taken", "held")

    keeps_transient = True
    is_refusing_late = True

    def __init__(self, name: str, **fields: Any) -> None:
        super().__init__(name, **fields)
        self._return_position = RETURNED_POSITION
        self.held = Held()
        """Dead letters that have not arrived."""
        self._taken: frozenset[Message] = frozenset()
        """Those that whoever has found them dead is about to settle, and must not."""

    def apply(self, settings: QueueSettings) -> None:
        """Let settings be in force from now on."""
        super().apply(settings)
        if self.limits is not None:
            self.limits.held = self.held
        if settings.dead_letter_strategy == AT_LEAST_ONCE and not settings.is_safe:
            logger.warning(
                "queue '%s': dead letters are sent at most once, at-least-once needs a dead-letter "
                "exchange and the overflow %s",
                self.name,
                REJECT_PUBLISH,
            )

    def requeue(self, deliveries: Iterable[Delivery], *, is_lost: bool = False) -> None:
        """Take messages back, count that, and let those die that have come back too often."""
        if self.retries is not None and self.retries.is_active:
            super().requeue(deliveries, is_lost=is_lost)
            return
        deliveries = list(deliveries)
        self.unsettled_count -= len(deliveries)
        returned = [
            counted(delivery.message, delivery_count(delivery.message) + 1)
            for delivery in deliveries
        ]
        if self.is_deleted:
            self.settle(returned)
            return
        limit = self.settings.delivery_limit
        dead: list[Message] = []
        if limit is not None:
            dead = [message for message in returned if delivery_count(message) > limit]
            returned = [message for message in returned if delivery_count(message) <= limit]
        if self.journal is not None and returned:
            self.journal.count(self, returned)
        for message in returned:
            self._put_back(message, to_tail=limit is None and not is_lost)
        if dead:
            self._discard(DELIVERY_LIMIT, dead)

    def pump(self) -> None:
        """Deliver what can be delivered; after that see what is too much, returns included."""
        super().pump()
        self._keep_limits()

    def _put_back(self, message: Message, *, to_tail: bool) -> None:
        ready = self.ready
        if to_tail:
            position = ready.next_position
            ready.extend((message,))
        else:
            position = self._return_position
            self._return_position += 1
            ready.give_back(position, message)
        if self.expiry is not None:
            self.expiry.watch(position, (message,))

    def deliver_run(
        self,
        consumer: Consumer,
        position: int,
        run: list[Message],
        bodies: list[bytes],
        is_redelivered: bool,
    ) -> None:
        """Deliver messages; one with a count has been delivered before."""
        is_redelivered = is_redelivered or delivery_count(run[0]) > 0
        super().deliver_run(consumer, position, run, bodies, is_redelivered)

    def get(self) -> Ready | None:
        """Take the message at the head for basic.get, which is always told the delivery count."""
        ready = super().get()
        if ready is None:
            return None
        if delivery_count(ready.message):
            return ready._replace(redelivered=True)
        return ready._replace(message=counted(ready.message, 0))

    def dead_letter(self, reason: str, messages: Sequence[Message]) -> None:
        """Publish messages that leave to the dead-letter exchange, without their counts.

        Those that must arrive are held, whatever the caller settles.
        """
        settings = self.settings
        if settings.dead_letter_exchange is None or self.is_deleted:
            return
        if not settings.is_safe:
            super().dead_letter(reason, [uncounted(message) for message in messages])
            return
        assert self.vhost is not None
        if self.journal is not None:
            self._taken = self._taken.union(messages)
        self.vhost.dead_letters.publish_safely(self, reason, messages)

    def settle(self, messages: Iterable[Message]) -> None:
        """Let the log know that messages are gone for good, but for those that are held."""
        taken = self._taken
        if taken:
            messages = list(messages)
            kept, self._taken = taken.intersection(messages), taken.difference(messages)
            messages = [message for message in messages if message not in kept]
        super().settle(messages)

    def let_go(self, message: Message) -> None:
        """Let the log know that a dead letter has arrived."""
        super().settle((message,))

    def purge(self) -> int:
        """Drop the ready messages; dead letters that are held only if the queue is deleted."""
        if self.is_deleted:
            assert self.vhost is not None
            self.vhost.dead_letters.held.discard(self)
        return super().purge()
