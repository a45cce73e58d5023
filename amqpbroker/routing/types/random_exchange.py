"""The random exchange: one binding drawn by lot, whatever the key (FEATURES A12.7)."""

from __future__ import annotations

from random import randrange
from typing import TYPE_CHECKING, Any

from amqpbroker.routing.snapshot_exchange import SnapshotExchange

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from amqpbroker.routing.binding import Destination
    from amqpbroker.routing.message import Routable


class RandomExchange(SnapshotExchange):
    """Leads each message to one destination; a queue bound twice is drawn twice as often."""

    __slots__ = ("_pick",)

    type_name = "x-random"
    is_stable = False

    def __init__(
        self, name: str, *, pick: Callable[[int], int] = randrange, **options: Any
    ) -> None:
        """Take the options of :class:`Exchange`; ``pick(n)`` returns one of 0 … n - 1."""
        super().__init__(name, **options)
        self._pick = pick

    def destinations(self, message: Routable, routing_key: str) -> Collection[Destination]:
        """Return one of the destinations, or none if there is none."""
        choices = self.snapshot()
        return choices if len(choices) < 2 else (choices[self._pick(len(choices))],)
