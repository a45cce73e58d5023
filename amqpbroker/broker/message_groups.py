"""x-message-groups: of the messages with one group key, one at a time (FEATURES N5).

Any consumer may get the next message of a group, but not before the one before it is settled; if
that one is requeued, for whatever reason, it goes first again. So the order within a group holds,
however many consumers there are and whatever becomes of them. Messages without a key are free.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqpbroker.broker.bodies import bodies_now, may_deliver
from amqpbroker.broker.grouped_ready import GroupedReady

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from amqpbroker.broker.message import Delivery
    from amqpbroker.broker.queue import Queue
    from amqpbroker.broker.ready import Ready


class MessageGroups:
    """The dispatch of a queue with message groups."""

    __slots__ = ("queue", "ready")

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.ready = GroupedReady()

    def deliver(self) -> None:
        """Deliver the first messages of all groups that have none on loan, in the queue's order."""
        queue, ready = self.queue, self.ready
        while ready.has_next():
            if not may_deliver(queue):
                return
            turn = queue.consumers.next()
            if turn is None:
                return
            position, message, is_redelivered = ready.pop()
            bodies = bodies_now(queue.pager, (message,))
            assert bodies is not None, "it is at hand"
            queue.deliver_run(turn[0], position, [message], bodies, is_redelivered)

    def get(self) -> Ready | None:
        """Take the first message that may be taken, None if there is none."""
        return self.ready.pop() if self.ready.has_next() else None

    def lent(self, loans: Sequence[Delivery]) -> None:
        """Let the groups of messages wait."""
        for delivery in loans:
            self.ready.hold(delivery.message)

    def settled(self, deliveries: Iterable[Delivery]) -> None:
        """Let the groups of messages go on."""
        for delivery in deliveries:
            self.ready.release(delivery.message)

    def consumers_changed(self) -> None:
        """Do nothing: no group belongs to a consumer."""
