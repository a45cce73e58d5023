"""All deadlines of a broker, in one heap that one task watches.

Whoever waits for a time (a message that expires, a queue nobody uses) asks for a call; there is no
task per wait. Callbacks run one after the other, never during a handler, and each round ends like a
batch of a client: with a flush.
"""

from __future__ import annotations

import logging
import time
from heapq import heapify, heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Final, NamedTuple

import anyio

from amqpbroker.storage.memory import wall_clock_ms

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("amqpbroker.timers")

CANCELLED_COUNT_MIN: Final = 64
"""Cancelled timers that are left in the heap whatever its size."""


class Clock(NamedTuple):
    """What a broker sees of time: seconds that only ever grow, and Unix time in ms."""

    now: Callable[[], float] = time.monotonic
    wall_ms: Callable[[], int] = wall_clock_ms


SYSTEM_CLOCK: Final = Clock()


class Timer:
    """A call that is due at ``deadline`` (seconds of the clock of its :class:`Timers`)."""

    __slots__ = ("_timers", "callback", "deadline")

    def __init__(self, timers: Timers, deadline: float, callback: Callable[[], None]) -> None:
        self._timers = timers
        self.deadline = deadline
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Do not call; too late or twice is fine."""
        if self.callback is not None:
            self.callback = None
            self._timers.forget_one()


class Timers:
    """Deadlines, the next one first."""

    def __init__(
        self,
        flush: Callable[[], None] = lambda: None,
        now: Callable[[], float] = time.monotonic,
        wall_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        self.now = now
        """See :class:`Clock`; deadlines are of this one."""
        self.wall_ms = wall_ms
        """For what must outlive the process."""
        self._flush = flush
        self._heap: list[tuple[float, int, Timer]] = []
        self._serial = count()
        self._cancelled_count = 0
        self._woken: anyio.Event | None = None
        """Set while ``run`` sleeps; told that it must not sleep that long."""

    def __len__(self) -> int:
        return len(self._heap) - self._cancelled_count

    def call_at(self, deadline: float, callback: Callable[[], None]) -> Timer:
        """Have ``callback`` called at a time, or soon if that is past."""
        timer = Timer(self, deadline, callback)
        heappush(self._heap, (deadline, next(self._serial), timer))
        if self._woken is not None and self._heap[0][2] is timer:
            self._woken.set()
        return timer

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Have ``callback`` called after a delay."""
        return self.call_at(self.now() + delay_s, callback)

    def forget_one(self) -> None:
        """Count a cancelled timer; once most are, throw them out."""
        self._cancelled_count += 1
        if self._cancelled_count > max(CANCELLED_COUNT_MIN, len(self._heap) // 2):
            self._heap = [item for item in self._heap if item[2].callback is not None]
            heapify(self._heap)
            self._cancelled_count = 0

    def fire(self) -> float | None:
        """Make the calls that are due now; return when the next one will be, None if none will.

        What becomes due meanwhile waits for the next round, so that clients get their turn.
        """
        now = self.now()
        first_of_next_round = next(self._serial)
        has_called = False
        while self._heap and self._heap[0][0] <= now and self._heap[0][1] < first_of_next_round:
            timer = heappop(self._heap)[2]
            callback, timer.callback = timer.callback, None
            if callback is None:
                self._cancelled_count -= 1
                continue
            has_called = True
            try:
                callback()
            except Exception:
                logger.exception("internal error in a timer")
        if has_called:
            self._flush()
        return self._heap[0][0] if self._heap else None

    async def run(self) -> None:
        """Make calls when they are due, until cancelled."""
        while True:
            deadline = self.fire()
            self._woken = anyio.Event()
            delay_s = None if deadline is None else max(0.0, deadline - self.now())
            with anyio.move_on_after(delay_s):
                await self._woken.wait()
            self._woken = None
