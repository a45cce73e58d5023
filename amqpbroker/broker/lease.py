"""x-expires: a queue that nobody uses is deleted (FEATURES A9.3).

Used means: a consumer is there, or the queue was declared anew or asked for a message (basic.get).
Publishing is no use. The messages are not dead-lettered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from amqpbroker.broker.consumer import Consumers
    from amqpbroker.broker.timers import Timer, Timers


class Lease:
    """How long a queue may stay without use; ``end`` is called when that is over."""

    __slots__ = ("_consumers", "_deadline", "_duration_s", "_end", "_timer", "_timers")

    def __init__(
        self, timers: Timers, consumers: Consumers, expires_ms: int, end: Callable[[], None]
    ) -> None:
        self._timers = timers
        self._consumers = consumers
        self._duration_s = expires_ms / 1000
        self._end = end
        self._deadline = 0.0
        self._timer: Timer | None = None
        self.renew()

    def renew(self) -> None:
        """The queue has been used: start anew. The timer is not moved until it is due."""
        self._deadline = self._timers.now() + self._duration_s
        if self._timer is None and not len(self._consumers):
            self._timer = self._timers.call_at(self._deadline, self._check)

    def _check(self) -> None:
        self._timer = None
        if len(self._consumers):
            return
        if self._deadline <= self._timers.now():
            self._end()
        else:
            self._timer = self._timers.call_at(self._deadline, self._check)

    def stop(self) -> None:
        """Forget the queue: it is gone, or its lease is another."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
