"""The messages of a queue that wait for a consumer, in order.

Messages enter at the tail and leave at the head, so their positions are consecutive and need not be
stored: the position of the head is counted. Only messages that come back (requeue) carry theirs, in
a heap in front of the others; since everything that ever left had a lower position than what is
still here, the heap always goes first. Both ends cost O(1), coming back O(log n) of those that came
back.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from amqpbroker.broker.message import Message


class Ready(NamedTuple):
    """A message taken from the head."""

    position: int
    message: Message
    redelivered: bool


_NONE: Final[deque[Message]] = deque()
"""Of all queues that have never held a message: a deque of its own takes 760 bytes."""


class ReadyMessages:
    """The ready messages of one queue."""

    __slots__ = ("_head", "_messages", "_redelivered_until", "_returned")

    def __init__(self) -> None:
        self._messages = _NONE
        self._returned: list[tuple[int, Message]] = []
        self._head = 0
        self._redelivered_until = 0
        """Messages below this position may have been delivered before the broker started."""

    def __len__(self) -> int:
        return len(self._messages) + len(self._returned)

    def __bool__(self) -> bool:
        return bool(self._messages or self._returned)

    def __iter__(self) -> Iterator[Message]:
        """Iterate over all messages, those that came back first, otherwise in no promised order."""
        for _, message in self._returned:
            yield message
        yield from self._messages

    @property
    def next_position(self) -> int:
        """The position of the next new message."""
        return self._head + len(self._messages)

    def extend(self, messages: Sequence[Message]) -> None:
        """Add messages at the tail."""
        if self._messages is _NONE:
            self._messages = deque(messages)
        else:
            self._messages.extend(messages)

    def recover(self, messages: Sequence[Message]) -> None:
        """Fill with what was here before a restart."""
        self.extend(messages)
        self._redelivered_until = len(self._messages)

    def skip(self, count: int) -> int:
        """Count messages as passed through an empty queue; return the first's position."""
        assert not self
        first = self._head
        self._head += count
        return first

    def pop(self) -> Ready:
        """Take the message at the head.

        Raises :class:`IndexError` if there is none.
        """
        if self._returned:
            position, message = heappop(self._returned)
            return Ready(position, message, True)
        message = self._messages.popleft()
        position = self._head
        self._head += 1
        return Ready(position, message, position < self._redelivered_until)

    def peek(self) -> Message | None:
        """Return the message at the head, None if there is none."""
        if self._returned:
            return self._returned[0][1]
        return self._messages[0] if self._messages else None

    def look_ahead(self, count: int) -> Message | None:
        """Return the message so many places behind the head or the last one, None if unknown."""
        messages = self._messages
        return messages[min(count, len(messages) - 1)] if messages else None

    def pop_run(self, count_max: int, size_max: int) -> tuple[int, list[Message], bool]:
        """Take messages at the head that share a publication, and whether they were delivered.

        Returns the position of the first, at most ``count_max`` messages whose bodies take little
        more than ``size_max`` bytes, and whether they are redelivered: all of them.
        Raises :class:`IndexError` if there is none.
        """
        if self._returned:
            position, message, _ = self.pop()
            return position, [message], True
        messages = self._messages
        message = messages.popleft()
        publication = message.publication
        run = [message]
        count = min(count_max, size_max // (publication.body_size + 1) + 1)
        position = self._head
        is_redelivered = position < self._redelivered_until
        if is_redelivered:
            count = min(count, self._redelivered_until - position)
        while len(run) < count and messages and messages[0].publication is publication:
            run.append(messages.popleft())
        self._head += len(run)
        return position, run, is_redelivered

    def put_back(self, position: int, messages: Sequence[Message]) -> None:
        """Undo the end of a ``pop_run``: from ``position`` on."""
        self._messages.extendleft(reversed(messages))
        self._head = position

    def give_back(self, position: int, message: Message) -> None:
        """Put a message back where it was; it will leave as redelivered (FEATURES A6.9)."""
        heappush(self._returned, (position, message))

    def clear(self) -> list[Message]:
        """Drop all messages; return them."""
        messages = [message for _, message in self._returned]
        messages += self._messages
        self._head += len(self._messages)
        self._messages.clear()
        self._returned.clear()
        return messages
