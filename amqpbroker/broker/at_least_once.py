"""Dead letters that must arrive (FEATURES A10.10).

With the strategy at-least-once a quorum queue lets go of a message only when every queue that its
dead letter goes to has taken it: both are one batch of the log. Until then it is *held*: it counts
for the limits of its queue, which refuses publishes beyond them, but no consumer gets it. What
cannot arrive, because the exchange, a binding or room in a queue is missing, is sent again from
time to time. RabbitMQ waits three minutes, we look more often.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from amqpbroker.broker.message import Message
    from amqpbroker.broker.quorum_queue import QuorumQueue
    from amqpbroker.broker.timers import Timer, Timers

RETRY_INTERVAL_S: Final = 5.0
RETRIED_COUNT_MAX: Final = 256
"""Letters sent again before clients get their turn."""


class Letter:
    """A dead message on its way."""

    __slots__ = ("died_s", "message", "queue", "reached", "reason")

    def __init__(self, queue: QuorumQueue, reason: str, message: Message, died_s: int) -> None:
        self.queue = queue
        self.reason = reason
        self.message = message
        self.died_s = died_s
        """Unix time."""
        self.reached: set[str] = set()
        """Names of the queues that have it."""

    @property
    def is_held(self) -> bool:
        """Whether it has not arrived."""
        return self.message in self.queue.held.letters


class Held:
    """The letters of one queue."""

    __slots__ = ("letters", "size")

    def __init__(self) -> None:
        self.letters: dict[Message, Letter] = {}
        self.size = 0
        """Bytes of their bodies."""

    def __len__(self) -> int:
        return len(self.letters)

    def add(self, letter: Letter) -> None:
        """Hold a letter."""
        self.letters[letter.message] = letter
        self.size += letter.message.publication.body_size

    def remove(self, letter: Letter) -> None:
        """Hold a letter no more."""
        del self.letters[letter.message]
        self.size -= letter.message.publication.body_size

    def next(self, count: int) -> list[Letter]:
        """Return some letters, and put them last."""
        letters = list(islice(self.letters.values(), count))
        for letter in letters:
            self.letters[letter.message] = self.letters.pop(letter.message)
        return letters


class HeldLetters:
    """All held letters of a vhost; ``send`` tries to bring one to where it goes."""

    def __init__(self, timers: Timers, send: Callable[[list[Letter]], None]) -> None:
        self._timers = timers
        self._send = send
        self._queues: dict[QuorumQueue, Held] = {}
        self._timer: Timer | None = None

    def __iter__(self) -> Iterator[Letter]:
        for held in self._queues.values():
            yield from held.letters.values()

    def hold(self, letter: Letter) -> None:
        """Keep a letter until it has arrived."""
        held = letter.queue.held
        self._queues[letter.queue] = held
        held.add(letter)
        if self._timer is None:
            self._timer = self._timers.call_later(RETRY_INTERVAL_S, self._fire)

    def arrived(self, letter: Letter) -> None:
        """Let go of a letter: all queues have it."""
        letter.queue.held.remove(letter)
        if not letter.queue.held:
            self._queues.pop(letter.queue, None)
        letter.queue.let_go(letter.message)

    def discard(self, queue: QuorumQueue) -> None:
        """Forget the letters of a queue that is deleted."""
        for letter in queue.held.next(len(queue.held)):
            self.arrived(letter)

    def _fire(self) -> None:
        self._timer = None
        has_stuck = False
        count = RETRIED_COUNT_MAX // max(1, len(self._queues)) + 1
        for held in list(self._queues.values()):
            letters = held.next(count)
            self._send(letters)
            has_stuck |= any(letter.is_held for letter in letters)
        if self._queues:
            delay_s = RETRY_INTERVAL_S if has_stuck else 0.0
            self._timer = self._timers.call_later(delay_s, self._fire)
