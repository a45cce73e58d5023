"""A clock that stands still until a test sets it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from amqpbroker.broker.broker import Broker
    from amqpbroker.broker.timers import Timers

START_S: Final = 1000


class Clock:
    """Returns ``now`` (seconds) when it is called."""

    def __init__(self) -> None:
        self.now: float = 0

    def __call__(self) -> float:
        return self.now


def clocked(broker: Broker) -> Clock:
    """Give a broker a clock that tests set; it begins at ``START_S``."""
    clock = Clock()
    clock.now = START_S
    broker.timers.now = clock
    broker.timers.wall_ms = lambda: int(clock.now * 1000)
    return clock


def advance(timers: Timers, clock: Clock, seconds: float) -> None:
    """Let time pass, and make the calls that are due then."""
    clock.now += seconds
    while (due := timers.fire()) is not None and due <= clock.now:
        pass
