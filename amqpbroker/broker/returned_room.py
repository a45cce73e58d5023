"""Room that comes back to consumers when deliveries are settled, and who goes on first.

A consumer without room is blocked when its turn comes (see ``consumer``). As on RabbitMQ:

- Of its own prefetch every ack by itself gives room back, in the order in which they come. What one
  method settles comes consumer by consumer, in the order of their tags.
- Of the prefetch that a channel's consumers share, room is for whoever was blocked first, and with
  it for all of its queue, which take turns. RabbitMQ lets chance decide between queues; here that
  which waits longest is first, so that none starves.

rabbit_queue_consumers.erl (``subtract_acks``, ``unblock``), rabbit_channel.erl
(``foreach_per_queue``) and rabbit_limiter.erl of RabbitMQ 3.10.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from amqpbroker.broker.channel import Channel
    from amqpbroker.broker.consumer import Consumer
    from amqpbroker.broker.message import Delivery
    from amqpbroker.broker.queue import Queue


def by_consumer(deliveries: list[Delivery]) -> list[Delivery]:
    """Return deliveries that one method settles consumer by consumer; first those of get."""
    if len({delivery.consumer for delivery in deliveries}) < 2:
        return deliveries
    return sorted(deliveries, key=_consumer_tag)


def _consumer_tag(delivery: Delivery) -> str:
    return "" if delivery.consumer is None else delivery.consumer.tag


def give_back(channel: Channel, deliveries: Sequence[Delivery]) -> None:
    """Give consumers of a channel back the room that deliveries took, and let them go on."""
    shares = _shares(deliveries)
    is_limited = channel.prefetch_count_global > 0
    channel.unsettled_count -= sum(count for _, count in shares)
    for consumer, count in shares:
        is_due = consumer.is_blocked and consumer.is_at_limit
        consumer.unsettled_count -= count
        if not is_due:
            continue
        queue = consumer.queue
        if not is_limited or not consumer.shares_prefetch:
            if queue.consumers.unblock(consumer):
                queue.pump()
        elif not _waits_with_others(consumer):
            _go_on(queue, (consumer,))
    if is_limited:
        unblock(channel)


def unblock(channel: Channel) -> None:
    """Let consumers that were blocked go on, as long as the prefetch that they share has room.

    Queues that are not reached are first the next time.
    """
    for consumer in list(channel.blocked):
        limit = channel.prefetch_count_global
        if limit and channel.unsettled_count >= limit:
            return
        if consumer.is_blocked and not consumer.is_at_limit:
            _go_on(consumer.queue, _waiting_with(consumer))


def _waits_with_others(consumer: Consumer) -> bool:
    """Return whether others of the queue wait for the prefetch that all share.

    If so they are asked once more, this one among them, and in vain: the queue does not know yet
    that the channel has room.
    """
    waiting = _waiting_with(consumer)
    if len(waiting) == 1:
        return False
    queue, blocked = consumer.queue, consumer.channel.blocked
    for other in waiting:
        if queue.ready:
            del blocked[other]
            blocked[other] = None
        else:
            queue.consumers.resume(other)
    return True


def _waiting_with(consumer: Consumer) -> list[Consumer]:
    """Return who of the channel and the queue of a blocked consumer is blocked, but has room."""
    queue = consumer.queue
    if len(queue.consumers) == 1 or not queue.consumers.takes_turns:
        return [consumer]
    blocked = consumer.channel.blocked
    return [other for other in blocked if other.queue is queue and not other.is_at_limit]


def _go_on(queue: Queue, consumers: Iterable[Consumer]) -> None:
    """Let consumers of a queue have their turns again, and pump."""
    for consumer in consumers:
        queue.consumers.resume(consumer)
    queue.pump()


def _shares(deliveries: Iterable[Delivery]) -> Collection[tuple[Consumer, int]]:
    """Return how much room comes back to whom, in the order in which it does for each queue."""
    counts: dict[Consumer, int] = {}
    for delivery in deliveries:
        consumer = delivery.consumer
        if consumer is not None:
            counts[consumer] = counts.get(consumer, 0) + 1
    if len({consumer.queue for consumer in counts}) == len(counts):
        return counts.items()
    return _runs(deliveries)


def _runs(deliveries: Iterable[Delivery]) -> list[tuple[Consumer, int]]:
    """Return the same where consumers share a queue: a consumer each time that it changes there."""
    runs: list[tuple[Consumer, int]] = []
    latest: dict[Queue, int] = {}
    for delivery in deliveries:
        consumer, queue = delivery.consumer, delivery.queue
        if consumer is None:
            continue
        place = latest.get(queue)
        if place is not None and runs[place][0] is consumer:
            runs[place] = consumer, runs[place][1] + 1
        else:
            latest[queue] = len(runs)
            runs.append((consumer, 1))
    return runs
