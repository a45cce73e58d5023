"""Ready messages that can be taken from anywhere, in levels of priority.

For queues that are not ordinary: messages expire in the middle (FEATURES N12), the bytes of bodies
are counted (A9.4), higher priorities go first (A9.8). Every message is stored with its position, so
that any can be removed in O(1); positions count on over all levels. A queue without priorities has
one level.

Within a level, what comes back (requeue) had left before everything that is still there, so its
position is lower and the heap of returned messages goes first, as in ``ready``.
"""

from __future__ import annotations

from collections import OrderedDict
from heapq import heapify, heappop, heappush
from itertools import count
from typing import TYPE_CHECKING

from amqpbroker.broker.ready import Ready, ReadyMessages

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from amqpbroker.broker.message import Message


class Level:
    """Messages of one priority by position."""

    __slots__ = ("messages", "order", "priority", "returned")

    def __init__(self, priority: int) -> None:
        self.priority = priority
        self.messages: OrderedDict[int, Message] = OrderedDict()
        self.returned: dict[int, Message] = {}
        self.order: list[int] = []
        """A heap of the positions in ``returned``, and of some that have been removed."""

    def pop(self) -> tuple[int, Message, bool]:
        """Take the first; say whether it had left before."""
        while self.order:
            position = heappop(self.order)
            message = self.returned.pop(position, None)
            if message is not None:
                return position, message, True
        return *self.messages.popitem(last=False), False

    def peek(self) -> Message:
        order, returned = self.order, self.returned
        while order:
            if order[0] in returned:
                return returned[order[0]]
            heappop(order)
        return next(iter(self.messages.values()))

    def give_back(self, position: int, message: Message) -> None:
        self.returned[position] = message
        heappush(self.order, position)

    def remove(self, position: int) -> Message | None:
        message = self.messages.pop(position, None)
        if message is None:
            message = self.returned.pop(position, None)
            if len(self.order) > 2 * len(self.returned) + 64:
                self.order = list(self.returned)
                heapify(self.order)
        return message

    def first(self) -> int:
        """Return the lowest position; there must be one."""
        while self.order and self.order[0] not in self.returned:
            heappop(self.order)
        return self.order[0] if self.order else next(iter(self.messages))

    def find(self, position: int) -> Message | None:
        message = self.messages.get(position)
        return self.returned.get(position) if message is None else message

    def placed(self) -> Iterator[tuple[int, Message]]:
        yield from sorted(self.returned.items())
        yield from self.messages.items()


class IndexedReady(ReadyMessages):
    """The ready messages of a queue that is not ordinary; ``size`` is the bytes of all bodies."""

    __slots__ = ("_count", "_levels", "max_priority", "retrying", "size")

    def __init__(self, max_priority: int = 0) -> None:
        self._head = 0
        self._redelivered_until = 0
        self.max_priority = max_priority
        self.size = 0
        self._count = 0
        self._levels: list[Level] = []
        """Those that were used so far, the highest first."""
        self.retrying: dict[int, Message] = {}
        """By position: messages that are to come back later (see ``retries``), in no count."""

    @classmethod
    def of(cls, ready: ReadyMessages, max_priority: int = 0) -> IndexedReady:
        """Return the same messages, indexed; ``ready`` must not be used any more."""
        if isinstance(ready, IndexedReady):
            return ready
        indexed = cls(max_priority)
        for position, message in ready._returned:
            indexed.give_back(position, message)
        indexed._head = ready._head
        indexed.extend(list(ready._messages))
        indexed._redelivered_until = ready._redelivered_until
        return indexed

    def __len__(self) -> int:
        return self._count

    def __bool__(self) -> bool:
        return self._count > 0

    def __iter__(self) -> Iterator[Message]:
        """Iterate over all messages in the order in which they leave, then those to be retried."""
        for _, message in self.placed():
            yield message
        yield from self.retrying.values()

    def placed(self) -> Iterator[tuple[int, Message]]:
        """Yield positions and messages in the order in which they would leave."""
        for level in self._levels:
            yield from level.placed()

    @property
    def next_position(self) -> int:
        """The position of the next new message."""
        return self._head

    def extend(self, messages: Sequence[Message]) -> None:
        """Add messages at the tails of their levels."""
        first = self._head
        if self.max_priority:
            for position, message in enumerate(messages, first):
                self._level(message).messages[position] = message
        elif messages:
            self._level(messages[0]).messages.update(zip(count(first), messages))
        self._head += len(messages)
        self._count += len(messages)
        self.size += sum([message.publication.body_size for message in messages])

    def recover(self, messages: Sequence[Message]) -> None:
        """Fill with what was here before a restart."""
        self.extend(messages)
        self._redelivered_until = self._head

    def peek(self) -> Message | None:
        """Return the first message of the highest level that has any, None if there is none."""
        for level in self._levels:
            if level.messages or level.returned:
                return level.peek()
        return None

    def look_ahead(self, count: int) -> Message | None:
        """Return None: what comes later is not known without going through it."""
        return None

    def pop_run(self, count_max: int, size_max: int) -> tuple[int, list[Message], bool]:
        """Take one message: in levels and with gaps, a row of messages is not worth looking for."""
        position, message, is_redelivered = self.pop()
        return position, [message], is_redelivered

    def pop(self) -> Ready:
        """Take the first message of the highest level that has any.

        Raises :class:`IndexError` if there is none.
        """
        for level in self._levels:
            if level.messages or level.returned:
                position, message, is_returned = level.pop()
                self._forget(message)
                is_redelivered = is_returned or position < self._redelivered_until
                return Ready(position, message, is_redelivered)
        raise IndexError("no ready message")

    def pop_oldest(self) -> Ready:
        """Take the message that has to make room for others; raises as ``pop`` does."""
        return self.pop()

    def give_back(self, position: int, message: Message) -> None:
        """Put a message back where it was: its level and its place in there (FEATURES A9.8)."""
        self._level(message).give_back(position, message)
        self._count += 1
        self.size += message.publication.body_size

    def find(self, position: int) -> Message | None:
        """Return the message at a position and leave it there, None if it is not here."""
        for level in self._levels:
            message = level.find(position)
            if message is not None:
                return message
        return None

    def remove(self, position: int) -> Message | None:
        """Take the message at a position, None if it is not here."""
        for level in self._levels:
            message = level.remove(position)
            if message is not None:
                self._forget(message)
                return message
        return None

    def clear(self) -> list[Message]:
        """Drop all messages; return them."""
        messages = list(self)
        self._levels.clear()
        self.retrying.clear()
        self._count = self.size = 0
        return messages

    def _forget(self, message: Message) -> None:
        self._count -= 1
        self.size -= message.publication.body_size

    def _level(self, message: Message) -> Level:
        """Return the level of a message: no priority is 0, too high a one the highest."""
        priority = 0
        if self.max_priority:
            wanted: int = message.publication.properties.get("priority", 0)
            priority = min(wanted, self.max_priority)
        for level in self._levels:
            if level.priority == priority:
                return level
        level = Level(priority)
        self._levels.append(level)
        self._levels.sort(key=lambda item: -item.priority)
        return level
