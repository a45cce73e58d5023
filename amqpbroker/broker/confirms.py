"""Publisher confirms of one channel (FEATURES A5.12-A5.15).

Publishes are numbered from 1. A publish is confirmed when the shard log has committed what it
staged, or at the end of the batch if it staged nothing and nothing before it still waits. Confirms
leave in order, so ``multiple=true`` is always about tags that are outstanding (T10).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from amqpbroker.wire.methods import BasicAck

if TYPE_CHECKING:
    from amqpbroker.broker.channel import Channel


class Confirms:
    """What a channel in confirm mode owes its publisher."""

    __slots__ = ("_channel", "_confirmed", "_published", "_safe", "_waits")

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._published = 0
        self._safe = 0
        self._confirmed = 0
        self._waits: deque[tuple[int, int]] = deque()
        """(number of a commit, last publish that it makes safe)."""

    def publish(self, count: int, ticket: int = 0) -> None:
        """Count messages that their queues have taken; the commit ``ticket`` makes them safe."""
        self._published += count
        waits = self._waits
        if ticket and (not waits or waits[-1][0] != ticket):
            waits.append((ticket, self._published))
        elif waits:
            waits[-1] = (waits[-1][0], self._published)
        else:
            self._make_safe(self._published)

    def committed(self, number: int) -> None:
        """Take note that commits up to ``number`` are done."""
        waits = self._waits
        while waits and waits[0][0] <= number:
            self._make_safe(waits.popleft()[1])

    def _make_safe(self, published: int) -> None:
        if self._safe == self._confirmed:
            self._channel.session.owe_confirms(self)
        self._safe = published

    def flush(self) -> None:
        """Confirm everything that is safe now."""
        count = self._safe - self._confirmed
        if count:
            self._confirmed = self._safe
            self._channel.session.send(self._channel.number, BasicAck(self._safe, count > 1))

    def close(self) -> None:
        """Owe nothing any more: the channel is gone, its tags are lost (A5.15)."""
        self._waits.clear()
        self._safe = self._confirmed
