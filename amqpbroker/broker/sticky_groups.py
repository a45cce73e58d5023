"""x-sticky-groups: message groups that stay with a consumer (FEATURES N5).

Which one follows from the key and the consumers that are there (rendezvous hashing), so nothing has
to be remembered of groups that have no messages now, and when a consumer comes or leaves only those
groups change hands that are to be, or were, its own. What is on loan of a group holds it meanwhile,
as always, so its order is safe.
https://en.wikipedia.org/wiki/Rendezvous_hashing
"""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Final

from amqpbroker.broker.bodies import bodies_now, is_at_hand
from amqpbroker.broker.grouped_ready import STALE_COUNT_MIN
from amqpbroker.broker.message_groups import MessageGroups
from amqpbroker.broker.murmur2 import murmur2

if TYPE_CHECKING:
    from amqpbroker.broker.consumer import Consumer
    from amqpbroker.broker.queue import Queue
    from amqpbroker.broker.ready import Ready

_MASK: Final = 0xFFFFFFFF


def weight(key_hash: int, number: int) -> int:
    """Return how much consumer ``number`` is for a key; of several the one with most has it.

    Both are mixed as MurmurHash3 does it in the end (fmix32), so that no two weigh the same.
    """
    mixed = (key_hash ^ number * 0x9E3779B1) & _MASK
    mixed = (mixed ^ mixed >> 16) * 0x85EBCA6B & _MASK
    mixed = (mixed ^ mixed >> 13) * 0xC2B2AE35 & _MASK
    return mixed ^ mixed >> 16


class StickyGroups(MessageGroups):
    """The dispatch of a queue with groups that stay with a consumer."""

    __slots__ = ("_is_stale", "_lanes", "_lanes_count", "_numbers", "_serial")

    def __init__(self, queue: Queue) -> None:
        super().__init__(queue)
        queue.consumers.takes_turns = False
        self._lanes: dict[Consumer | None, list[int]] = {}
        """Heaps of positions: those of the groups of a consumer; None has those of no group."""
        self._lanes_count = 0
        """Positions in lanes."""
        self._numbers: dict[Consumer, int] = {}
        """The consumers that are there; numbers are not used again."""
        self._serial = count()
        self._is_stale = False
        """Whether consumers have come or left since they were numbered."""

    def owner(self, key: bytes) -> Consumer | None:
        """Return whose a group is, None if there is nobody."""
        numbers, key_hash = self._numbers, murmur2(key)
        return max(numbers, key=lambda item: weight(key_hash, numbers[item]), default=None)

    def deliver(self) -> None:
        """Deliver to each consumer from its own groups, and to anybody what has no group."""
        if self._is_stale:
            self._number_consumers()
        if not self._numbers:
            return
        self._sort()
        while True:
            for consumer, lane in self._lanes.items():
                if consumer is not None and not consumer.is_blocked:
                    self._serve(consumer, lane)
            if not self.ready.has_next():
                break
            self._sort()  # what nobody had to settle has let the next of its group go
        self._deliver_free()

    def _deliver_free(self) -> None:
        """Deliver what has no group to whose turn it is."""
        free = self._lanes.get(None)
        while free and self._has_next(free) and self._is_at_hand(free):
            turn = self.queue.consumers.next()
            if turn is None:
                return
            self._deliver_from(free, turn[0])

    def _sort(self) -> None:
        """Put what may be taken into the lanes."""
        if self._lanes_count > 2 * len(self.ready) + STALE_COUNT_MIN:
            self._give_back()
        positions = self.ready.take_next()
        for position in positions:
            key = self.ready.key_at(position)
            owner = None if key is None else self.owner(key)
            heappush(self._lanes.setdefault(owner, []), position)
        self._lanes_count += len(positions)

    def _serve(self, consumer: Consumer, lane: list[int]) -> None:
        while self._has_next(lane):
            if consumer.room() <= 0:
                self.queue.consumers.block(consumer)
                return
            if not self._is_at_hand(lane):
                return
            self._deliver_from(lane, consumer)

    def _has_next(self, lane: list[int]) -> bool:
        while lane:
            if self.ready.is_free(lane[0]):
                return True
            heappop(lane)
            self._lanes_count -= 1
        return False

    def _is_at_hand(self, lane: list[int]) -> bool:
        """Return whether the body of the first message is; if not, the queue pumps later."""
        message = self.ready.find(lane[0])
        return message is not None and is_at_hand(self.queue.pager, message, self.queue.pump)

    def _deliver_from(self, lane: list[int], consumer: Consumer) -> None:
        self._lanes_count -= 1
        position, message, is_redelivered = self.ready.take(heappop(lane))
        bodies = bodies_now(self.queue.pager, (message,))
        assert bodies is not None, "it is at hand"
        self.queue.deliver_run(consumer, position, [message], bodies, is_redelivered)

    def get(self) -> Ready | None:
        """Take the first message that may be taken, None if there is none."""
        self._give_back()
        return super().get()

    def consumers_changed(self) -> None:
        """Let groups be those of others before anything is delivered."""
        self._is_stale = True

    def _number_consumers(self) -> None:
        self._is_stale = False
        self._give_back()
        known = self._numbers
        self._numbers = {
            item: known[item] if item in known else next(self._serial)
            for item in self.queue.consumers
        }

    def _give_back(self) -> None:
        """Empty the lanes."""
        self.ready.put_next(position for lane in self._lanes.values() for position in lane)
        self._lanes.clear()
        self._lanes_count = 0
