"""A consumer, and the turn-taking of the consumers of a queue.

A queue asks for the next consumer that can take a message: of those with the highest priority, in
turn (FEATURES A6.4, A6.14). One that cannot (its prefetch is used up, its connection's buffer is
full) is blocked: it leaves the turn-taking until something frees it, so that the cost of a delivery
does not grow with the number of blocked consumers.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from amqpbroker.wire.content import DeliverEncoder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from amqpbroker.broker.channel import Channel
    from amqpbroker.broker.queue import Queue
    from amqpbroker.wire.table import Table

UNLIMITED: Final = 1 << 62


class Consumer:
    """A subscription of a channel to a queue."""

    __slots__ = (
        "arguments",
        "channel",
        "encoder",
        "is_blocked",
        "is_exclusive",
        "no_ack",
        "prefetch_count",
        "priority",
        "queue",
        "tag",
        "unsettled_count",
    )

    def __init__(
        self,
        channel: Channel,
        queue: Queue,
        tag: str,
        *,
        no_ack: bool,
        is_exclusive: bool,
        arguments: Table,
    ) -> None:
        self.channel = channel
        self.queue = queue
        self.tag = tag
        self.no_ack = no_ack
        self.is_exclusive = is_exclusive
        self.arguments = arguments
        self.priority = int(arguments["x-priority"].value) if "x-priority" in arguments else 0
        self.prefetch_count = 0 if no_ack else channel.prefetch_count
        """Limit of unsettled deliveries, 0 = none; as basic.qos had set before (FEATURES A6.5)."""
        self.unsettled_count = 0
        self.is_blocked = False
        """Whether it is in ``blocked`` of its channel, and has no turns in its queue."""
        wire = channel.session.wire
        self.encoder = DeliverEncoder(channel.number, tag, wire.frame_size_max)

    @property
    def is_at_limit(self) -> bool:
        """Whether its own prefetch is used up."""
        return 0 < self.prefetch_count <= self.unsettled_count

    @property
    def shares_prefetch(self) -> bool:
        """Whether the prefetch of its channel, if there is one, is for it too."""
        return self.queue.type != "quorum"

    def room(self) -> int:
        """Return how many messages it can take now."""
        channel = self.channel
        session = channel.session
        if session.is_full:
            session.stalled_consumers[self] = None
            return 0
        room = UNLIMITED
        if self.prefetch_count:
            room = self.prefetch_count - self.unsettled_count
        if channel.prefetch_count_global and self.shares_prefetch:
            room = min(room, channel.prefetch_count_global - channel.unsettled_count)
        return room


def mark_blocked(consumer: Consumer) -> None:
    """Put a consumer last among those of its channel that are blocked."""
    consumer.is_blocked = True
    consumer.channel.blocked[consumer] = None


def unmark_blocked(consumer: Consumer) -> None:
    """Take a consumer from those of its channel that are blocked, if it is one of them."""
    if consumer.is_blocked:
        consumer.is_blocked = False
        del consumer.channel.blocked[consumer]


class Consumers:
    """The consumers of one queue."""

    __slots__ = ("_all", "_turns", "is_single_active", "takes_turns")

    def __init__(self, *, is_single_active: bool) -> None:
        self.is_single_active = is_single_active
        self.takes_turns = True
        """Whether any of them may get any message; otherwise each has messages of its own."""
        self._all: dict[Consumer, None] = {}
        self._turns: dict[int, deque[Consumer]] = {}
        """Priority, highest first → unblocked consumers, the next one first."""

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Consumer]:
        return iter(self._all)

    @property
    def active(self) -> Consumer | None:
        """The single active consumer, which is the one that has been here longest (A6.15)."""
        return next(iter(self._all), None)

    @property
    def has_turns(self) -> bool:
        """Whether there is a consumer that is not known to be blocked."""
        return bool(self._turns)

    def is_active(self, consumer: Consumer) -> bool:
        """Return whether a consumer takes part in deliveries."""
        return not self.is_single_active or consumer is self.active

    def add(self, consumer: Consumer) -> None:
        """Add a consumer, last in its priority's turn."""
        self._all[consumer] = None
        if self.is_active(consumer):
            self.resume(consumer)

    def remove(self, consumer: Consumer) -> None:
        """Remove a consumer; the next in line becomes the single active one."""
        was_active = self.is_active(consumer)
        del self._all[consumer]
        if consumer.is_blocked:
            unmark_blocked(consumer)
        elif was_active:
            turns = self._turns[consumer.priority]
            turns.remove(consumer)
            if not turns:
                del self._turns[consumer.priority]
        if self.is_single_active and was_active and self.active is not None:
            self.resume(self.active)

    def unblock(self, consumer: Consumer) -> bool:
        """Let a blocked consumer take its turn again if it has room; return whether it does."""
        if not consumer.is_blocked or consumer.room() <= 0:
            return False
        self.resume(consumer)
        return True

    def block(self, consumer: Consumer) -> None:
        """Let a consumer that is not blocked have no turn until it is unblocked."""
        turns = self._turns[consumer.priority]
        turns.remove(consumer)
        mark_blocked(consumer)
        if not turns:
            del self._turns[consumer.priority]

    def defer(self, consumer: Consumer) -> None:
        """Let a consumer have its turn after all others of its priority."""
        turns = self._turns.get(consumer.priority)
        if turns is not None and consumer in turns:
            turns.remove(consumer)
            turns.append(consumer)

    def next(self) -> tuple[Consumer, int] | None:
        """Return whose turn it is and how many messages it may take in one go, None if nobody's.

        More than one in a go only if nobody else of its priority waits for a turn.
        """
        while self._turns:
            priority, turns = next(iter(self._turns.items()))
            consumer = turns[0]
            room = consumer.room()
            if room > 0:
                if len(turns) == 1:
                    return consumer, room
                turns.rotate(-1)
                return consumer, 1
            turns.popleft()
            mark_blocked(consumer)
            if not turns:
                del self._turns[priority]
        return None

    def resume(self, consumer: Consumer) -> None:
        """Let a consumer that is new or blocked have turns, last of its priority."""
        unmark_blocked(consumer)
        turns = self._turns.get(consumer.priority)
        if turns is not None:
            turns.append(consumer)
            return
        self._turns[consumer.priority] = deque((consumer,))
        if len(self._turns) > 1:
            self._turns = dict(sorted(self._turns.items(), key=lambda item: -item[0]))
