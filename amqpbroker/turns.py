"""How much is read from a client before the next one has its turn.

A turn is what one read brings, all of it handled at once. While several clients send much, they
share one turn: first the vhosts among themselves, then the connections of each. So
the wait of a client that sends little does not grow with the number of those who send much, and a
vhost with a hundred flooding connections gets no more than another with one (FEATURES A17.3).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from amqpbroker.broker.vhost import VHost

READ_SIZE_MAX: Final = 1 << 18
"""Bytes handled in one go: a batch, and the turn of a flooding client."""
READ_SIZE_MIN: Final = 1 << 12
"""Bytes that even the smallest share has."""


BUSY_SHARE: Final = 0.25
"""Of what may be read: a client that fills so much of it sends much."""
BUSY_S: Final = 1.0
"""So long after it did so last it is still one that sends much."""


class Turns:
    """How many connections send much, by vhost."""

    def __init__(self) -> None:
        self._busy: Counter[VHost] = Counter()

    def size(self, vhost: VHost | None) -> int:
        """Return how much to read from a connection of a vhost."""
        if not self._busy or vhost is None:
            return READ_SIZE_MAX
        vhost_count = len(self._busy) + (vhost not in self._busy)
        share = READ_SIZE_MAX // vhost_count // max(1, self._busy[vhost])
        return max(READ_SIZE_MIN, share)

    def enter(self, vhost: VHost) -> None:
        """Count a connection among those that send much."""
        self._busy[vhost] += 1

    def leave(self, vhost: VHost) -> None:
        """Count it no longer."""
        self._busy[vhost] -= 1
        if not self._busy[vhost]:
            del self._busy[vhost]


class Turn:
    """One connection's part in it."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._vhost: VHost | None = None
        """Where it counts as one that sends much."""
        self._busy_at = 0.0
        self.size_max = READ_SIZE_MAX
        """What the limits of its vhost or user leave it."""

    def size(self, vhost: VHost | None) -> int:
        """Return how much to read next."""
        return min(self.size_max, self._turns.size(vhost))

    def used(self, count: int, size: int, vhost: VHost | None, now: float) -> None:
        """Take note that ``count`` bytes of at most ``size`` were read."""
        if count < size * BUSY_SHARE or vhost is None:
            return
        self._busy_at = now
        if self._vhost is None:
            self._vhost = vhost
            self._turns.enter(vhost)

    def tick(self, now: float) -> None:
        """Rest if the last large read is long ago."""
        if self._vhost is not None and now - self._busy_at > BUSY_S:
            self.rest()

    def rest(self) -> None:
        """Be none of those who send much."""
        if self._vhost is not None:
            self._turns.leave(self._vhost)
            self._vhost = None
