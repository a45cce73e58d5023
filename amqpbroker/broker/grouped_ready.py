"""Ready messages of which only the first of each group may be taken, while none of it is on loan.

``pop`` takes from a heap of positions: those of all messages without a group, and of the first
message of every group. Positions are not looked for in there when something else happens to their
messages; whether one may be taken is seen when it is its turn. What is remembered of a group goes
when the queue has nothing of it any more.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Final

from amqpbroker.broker.indexed_ready import IndexedReady
from amqpbroker.broker.message_keys import GROUP_KEY, key_in
from amqpbroker.broker.ready import Ready

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from amqpbroker.broker.message import Message

STALE_COUNT_MIN: Final = 64
"""Positions of messages that have left, left in a heap however few others there are."""


class _Group:
    """The messages of one key."""

    __slots__ = ("count", "is_held", "order")

    def __init__(self) -> None:
        self.count = 0
        """Ready messages."""
        self.is_held = False
        """Whether one is on loan."""
        self.order: list[int] = []
        """A heap of their positions, and of some that have been removed; the first is ready."""


class GroupedReady(IndexedReady):
    """The ready messages of a queue with message groups."""

    __slots__ = ("_groups", "_next")

    def __init__(self) -> None:
        super().__init__()
        self._groups: dict[bytes, _Group] = {}
        self._next: list[int] = []
        """A heap; see above."""

    @property
    def group_count(self) -> int:
        """Groups of which a message is here or on loan."""
        return len(self._groups)

    # take

    def has_next(self) -> bool:
        """Return whether there is a message that may be taken."""
        while self._next:
            if self.is_free(self._next[0]):
                return True
            heappop(self._next)
        return False

    def is_free(self, position: int) -> bool:
        """Return whether the message at a position is here and its group has none on loan."""
        message = self._find(position)
        if message is None:
            return False
        key = key_in(message.publication, GROUP_KEY)
        return key is None or not self._groups[key].is_held

    def peek(self) -> Message | None:
        """Return the first message that may be taken, None if there is none."""
        return self._find(self._next[0]) if self.has_next() else None

    def pop(self) -> Ready:
        """Take the first message that may be taken.

        Raises :class:`IndexError` if there is none.
        """
        if not self.has_next():
            raise IndexError("no message of a free group")
        return self.take(heappop(self._next))

    def pop_oldest(self) -> Ready:
        """Take the first message of all; its group may have another on loan."""
        return self.take(min(level.first() for level in self._levels))

    def take(self, position: int) -> Ready:
        """Take the message at a position, which must be here."""
        is_returned = any(position in level.returned for level in self._levels)
        message = self.remove(position)
        assert message is not None
        return Ready(position, message, is_returned or position < self._redelivered_until)

    def hold(self, message: Message) -> None:
        """Let the group of a message that has been taken wait."""
        key = key_in(message.publication, GROUP_KEY)
        if key is not None:
            self._groups.setdefault(key, _Group()).is_held = True

    def release(self, message: Message) -> None:
        """Let the group of a message that was on loan go on."""
        key = key_in(message.publication, GROUP_KEY)
        group = None if key is None else self._groups.get(key)
        if group is None:
            return
        group.is_held = False
        if group.order:
            heappush(self._next, group.order[0])
        elif key is not None:
            del self._groups[key]

    def key_at(self, position: int) -> bytes | None:
        """Return the group of the message at a position, None if it has none or is not here."""
        message = self._find(position)
        return None if message is None else key_in(message.publication, GROUP_KEY)

    def take_next(self) -> list[int]:
        """Return the positions of all that may perhaps be taken; the caller keeps them now."""
        found, self._next = self._next, []
        return found

    def put_next(self, positions: Iterable[int]) -> None:
        """Keep positions again, or some of which nothing is here any more."""
        self._next += positions
        heapify(self._next)
        self._limit_next()

    # keep

    def extend(self, messages: Sequence[Message]) -> None:
        """Add messages at the tail."""
        first = self._head
        super().extend(messages)
        for position, message in enumerate(messages, first):
            self._enter(position, message)

    def give_back(self, position: int, message: Message) -> None:
        """Put a message back where it was, which is in front of all others of its group."""
        super().give_back(position, message)
        key = key_in(message.publication, GROUP_KEY)
        if key is not None and key in self._groups:
            self._groups[key].is_held = False
        self._enter(position, message)

    def remove(self, position: int) -> Message | None:
        """Take the message at a position, None if it is not here."""
        message = super().remove(position)
        if message is not None:
            self._leave(position, message)
            self._limit_next()
        return message

    def clear(self) -> list[Message]:
        """Drop all messages; return them. What is on loan holds its group all the same."""
        messages = super().clear()
        self._next.clear()
        self._groups = {key: group for key, group in self._groups.items() if group.is_held}
        for group in self._groups.values():
            group.count = 0
            group.order.clear()
        return messages

    def _find(self, position: int) -> Message | None:
        for level in self._levels:
            message = level.find(position)
            if message is not None:
                return message
        return None

    def _enter(self, position: int, message: Message) -> None:
        """A message is here: it may be the next of its group."""
        key = key_in(message.publication, GROUP_KEY)
        if key is None:
            heappush(self._next, position)
            return
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group()
        group.count += 1
        heappush(group.order, position)
        if group.order[0] == position and not group.is_held:
            heappush(self._next, position)

    def _leave(self, position: int, message: Message) -> None:
        """A message has left: another may be the next of its group."""
        key = key_in(message.publication, GROUP_KEY)
        if key is None:
            return
        group = self._groups[key]
        group.count -= 1
        order = group.order
        if order[0] == position:
            heappop(order)
            while order and self._find(order[0]) is None:
                heappop(order)
            if order and not group.is_held:
                heappush(self._next, order[0])
        elif len(order) > 2 * group.count + STALE_COUNT_MIN:
            group.order = [item for item in order if self._find(item) is not None]
            heapify(group.order)
        if not group.count and not group.is_held:
            del self._groups[key]

    def _limit_next(self) -> None:
        """If too much in the heap has left, make it anew of what may be taken."""
        if len(self._next) <= 2 * len(self) + STALE_COUNT_MIN:
            return
        free = [group.order[0] for group in self._groups.values() if group.order]
        for position, message in self.placed():
            if key_in(message.publication, GROUP_KEY) is None:
                free.append(position)
        heapify(free)
        self._next = free
