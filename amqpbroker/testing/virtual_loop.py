"""An event loop whose clock jumps: whoever sleeps, sleeps for no time at all.

When nothing is ready to run, the clock is set to the next deadline. Everything that waits by the
loop (``anyio.sleep``, timeouts, the broker's timers on `virtual_clock`) follows, and two runs of
one program are the same run, except that tasks which are cancelled together end in any order. There
is no I/O: what waits for it, or for a thread, never wakes, and a program that nobody can wake any
more ends in `Deadlock` instead of hanging.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeVar

from amqpbroker.broker.timers import Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")

START_S: Final = 1000.0
"""What the clock says first: no special number, so that nobody takes 0 for a time."""
EPOCH_MS: Final = 1_700_000_000_000
"""Unix time when the clock says 0."""


class Deadlock(Exception):
    """All tasks wait, and nothing will happen."""


class VirtualLoop(asyncio.BaseEventLoop):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self._now = START_S
        self._selector = self

    def time(self) -> float:
        """Return the virtual seconds."""
        return self._now

    def select(self, timeout_s: float | None) -> list[Any]:
        """Let time pass until something is due: what a selector does, without I/O."""
        if timeout_s is None:
            raise Deadlock("all tasks wait, and nothing will happen")
        self._now += timeout_s
        return []

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody has to be woken: the loop never blocks."""


def run(function: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> T:
    """Run an asynchronous function in virtual time; return what it does.

    Raises `Deadlock`, and whatever the function does.
    """
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(function(*arguments))
    finally:
        loop.close()


def virtual_clock() -> Clock:
    """Return the clock of the running loop, for a broker."""
    time = asyncio.get_running_loop().time
    return Clock(time, lambda: EPOCH_MS + int(time() * 1000))
