"""Who gets which message on RabbitMQ 3.10: a queue's consumers and the limiters of their channels.

Written after rabbit_queue_consumers.erl and rabbit_limiter.erl, whose processes take turns here:
the limiter hears of what is settled first, then the queue, consumer by consumer, then the queue
hears from the limiter that there is room. One thing is forgotten sooner: that a consumer was
refused, if it has left.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field


@dataclass(eq=False)
class Subscription:
    """A consumer; ``credit`` is None without a prefetch of its own."""

    tag: str
    channel: Limited
    priority: int
    credit: int | None
    no_ack: bool


@dataclass(eq=False)
class Limited:
    """A channel, as the queue and the limiter know it; ``limit`` 0 is none."""

    limit: int = 0
    volume: int = 0
    blocked: list[Subscription] = field(default_factory=list)

    @property
    def is_at_limit(self) -> bool:
        return 0 < self.limit <= self.volume

    @property
    def is_suspended(self) -> bool:
        """Whether the queue was told to wait: it asks nobody of this channel until it hears."""
        return any(each.credit != 0 for each in self.blocked)


class TurnsTwin:
    """One queue with numbered messages."""

    def __init__(self) -> None:
        self.ready: list[int] = []
        self.turns: list[Subscription] = []
        self.delivered: list[tuple[Subscription, int]] = []
        """Since somebody looked last."""

    def publish(self, number: int) -> None:
        self.ready.append(number)
        self._run()

    def add(self, consumer: Subscription) -> None:
        self.turns.append(consumer)
        self._run()

    def remove(self, consumer: Subscription) -> None:
        holder = self.turns if consumer in self.turns else consumer.channel.blocked
        holder.remove(consumer)
        consumer.credit = None
        self._run()

    def limit(self, channel: Limited, limit: int) -> None:
        channel.limit = limit
        self._resume(channel)

    def settle(self, channel: Limited, shares: list[tuple[Subscription, int]]) -> None:
        """Settle messages of one channel: whose, and how many, in the order of the queue."""
        channel.volume -= sum(count for _, count in shares)
        for consumer, count in shares:
            self._give_credit(consumer, count)
        self._resume(channel)

    def requeue(self, consumer: Subscription, number: int) -> None:
        insort(self.ready, number)
        self.settle(consumer.channel, [(consumer, 1)])
        self._run()

    def _give_credit(self, consumer: Subscription, count: int) -> None:
        if consumer.credit is None:
            return
        channel = consumer.channel
        was_suspended = channel.is_suspended
        consumer.credit += count
        if consumer.credit == count:
            self._unblock(channel, is_suspended=was_suspended)

    def _resume(self, channel: Limited) -> None:
        if channel.is_suspended and not channel.is_at_limit:
            self._unblock(channel)

    def _unblock(self, channel: Limited, *, is_suspended: bool = False) -> None:
        self.turns += [each for each in channel.blocked if each.credit != 0]
        channel.blocked = [each for each in channel.blocked if each.credit == 0]
        self._run(channel if is_suspended else None)

    def _run(self, suspended: Limited | None = None) -> None:
        while self.ready and self.turns:
            consumer = max(self.turns, key=lambda each: each.priority)
            channel = consumer.channel
            self.turns.remove(consumer)
            is_waiting = channel is suspended or channel.is_suspended
            if is_waiting or consumer.credit == 0 or channel.is_at_limit:
                channel.blocked.append(consumer)
                continue
            if consumer.credit is not None:
                consumer.credit -= 1
            channel.volume += not consumer.no_ack
            self.turns.append(consumer)
            self.delivered.append((consumer, self.ready.pop(0)))
