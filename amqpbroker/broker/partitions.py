"""x-partitions: many consumers, and order by key without one message at a time (DESIGN section 5).

Messages of one key are in one partition. A partition is served to one consumer at a time, as many
messages as that has room for. Partitions are spread evenly over the consumers; when one comes or
leaves, as few of them move as possible. A partition whose old consumer still has something of it on
loan is not served until that is settled or back in its place: so no message is overtaken by a later
one with the same key.

Among the partitions of a consumer the oldest message goes first, so that all are served.
"""

from __future__ import annotations

from heapq import heapify, heappop, heapreplace
from typing import TYPE_CHECKING

from amqpbroker.broker.bodies import bodies_now, is_at_hand
from amqpbroker.broker.partitioned_ready import PartitionedReady

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence
    from typing import TypeVar

    from amqpbroker.broker.consumer import Consumer
    from amqpbroker.broker.message import Delivery
    from amqpbroker.broker.partitioned_ready import Partition
    from amqpbroker.broker.queue import Queue
    from amqpbroker.broker.ready import Ready

    T = TypeVar("T", bound=Hashable)


class Partitions:
    """The dispatch of a queue with partitions."""

    __slots__ = ("_is_stale", "_queue", "ready")

    def __init__(self, queue: Queue, count: int) -> None:
        self._queue = queue
        queue.consumers.takes_turns = False
        self.ready = PartitionedReady(count)
        self._is_stale = False
        """Whether consumers have come or left since partitions were assigned."""

    def deliver(self) -> None:
        """Deliver to each consumer from its own partitions."""
        if self._is_stale:
            self.assign()
        for consumer, waiting in self.ready.waiting.items():
            if waiting and consumer is not None and not consumer.is_blocked:
                self._serve(consumer, waiting)

    def _serve(self, consumer: Consumer, waiting: dict[Partition, None]) -> None:
        queue, ready = self._queue, self.ready
        for partition in [item for item in waiting if not item]:
            del waiting[partition]
        heads = [(item.first(), item) for item in waiting if not item.is_moving]
        heapify(heads)
        while heads:
            if consumer.room() <= 0:
                queue.consumers.block(consumer)
                return
            partition = heads[0][1]
            if not is_at_hand(queue.pager, partition.peek(), queue.pump):
                heappop(heads)
                continue
            position, message, is_redelivered = ready.pop_of(partition)
            bodies = bodies_now(queue.pager, (message,))
            assert bodies is not None, "it is at hand"
            queue.deliver_run(consumer, position, [message], bodies, is_redelivered)
            if partition:
                heapreplace(heads, (partition.first(), partition))
            else:
                heappop(heads)
                del waiting[partition]

    def get(self) -> Ready | None:
        """Take the oldest message of the partitions of which nothing is on loan."""
        partition = self.ready.oldest(item for item in self.ready.partitions if not item.loan_count)
        return None if partition is None else self.ready.pop_of(partition)

    def lent(self, loans: Sequence[Delivery]) -> None:
        """Remember who has messages of which partition."""
        self.ready.lend(loans)

    def settled(self, deliveries: Iterable[Delivery]) -> None:
        """Partitions of which nothing is on loan any more may go to others."""
        self.ready.settle(deliveries)

    def consumers_changed(self) -> None:
        """Assign the partitions anew before anything is delivered."""
        self._is_stale = True

    def assign(self) -> None:
        """Spread the partitions over the consumers that there are."""
        self._is_stale = False
        before = [partition.consumer for partition in self.ready.partitions]
        self.ready.assign(spread(before, list(self._queue.consumers)))


def spread(owners: Sequence[T | None], takers: Sequence[T]) -> list[T | None]:
    """Return whose each partition is from now on, given whose it was.

    The numbers of partitions differ by one at most, and as few move as that allows.
    """
    if not takers:
        return [None] * len(owners)
    held: dict[T, list[int]] = {taker: [] for taker in takers}
    for number, owner in enumerate(owners):
        if owner is not None and owner in held:
            held[owner].append(number)
    fair, left_over = divmod(len(owners), len(takers))
    by_count = sorted(takers, key=lambda taker: -len(held[taker]))
    room = {taker: fair + (index < left_over) for index, taker in enumerate(by_count)}
    result: list[T | None] = [None] * len(owners)
    for taker, numbers in held.items():
        for number in numbers[: room[taker]]:
            result[number] = taker
            room[taker] -= 1
    open_places = [taker for taker in takers for _ in range(room[taker])]
    for number, owner in enumerate(result):
        if owner is None:
            result[number] = open_places.pop(0)
    return result
