"""Publisher confirms of one channel (FEATURES A5.12-A5.15).

Publishes are numbered from 1. A publish is confirmed when the shard log has committed what it
staged, or at the end of the batch if it staged nothing and nothing before it still waits. A publish
that a queue has refused is nacked in its turn. Confirms leave in order, so ``multiple=true`` is
always about tags that are outstanding (T10).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from amqpbroker.wire.methods import BasicAck, BasicNack

if TYPE_CHECKING:
    from amqpbroker.broker.channel import Channel
    from amqpbroker.broker.session import Session


def waits_for_confirms(session: Session) -> bool:
    """Return whether a client has published what is not committed yet."""
    return any(
        channel.confirms is not None and channel.confirms.waits
        for channel in session.channels.values()
    )


class Confirms:
    """What a channel in confirm mode owes its publisher."""

    __slots__ = ("_channel", "_confirmed", "_published", "_refused", "_safe", "_waits")

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._published = 0
        self._safe = 0
        self._confirmed = 0
        self._refused: deque[int] = deque()
        """Publishes that are to be nacked."""
        self._waits: deque[tuple[int, int]] = deque()
        """(number of a commit, last publish that it makes safe)."""

    def publish(self, count: int, ticket: int = 0, refused: int = 0) -> None:
        """Count messages; the commit ``ticket`` makes them safe.

        A queue has refused the last ``refused`` of them (FEATURES A5.14).
        """
        self._published += count
        if refused:
            self._refused.extend(range(self._published - refused + 1, self._published + 1))
        waits = self._waits
        if ticket and (not waits or waits[-1][0] != ticket):
            waits.append((ticket, self._published))
        elif waits:
            waits[-1] = (waits[-1][0], self._published)
        else:
            self._make_safe(self._published)

    @property
    def waits(self) -> bool:
        """Whether a commit is still to come that makes publishes safe."""
        return bool(self._waits)

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
        refused = self._refused
        while refused and refused[0] <= self._safe:
            self._ack(refused[0] - 1)
            self._nack()
        self._ack(self._safe)

    def _ack(self, last: int) -> None:
        count = last - self._confirmed
        if count:
            self._confirmed = last
            self._channel.session.send(self._channel.number, BasicAck(last, count > 1))

    def _nack(self) -> None:
        """Nack those that were refused in a row."""
        refused = self._refused
        first = last = refused.popleft()
        while refused and refused[0] == last + 1 <= self._safe:
            last = refused.popleft()
        self._confirmed = last
        # Requeue means nothing here; its default is what RabbitMQ sends.
        nack = BasicNack(last, last > first, True)
        self._channel.session.send(self._channel.number, nack)

    def close(self) -> None:
        """Owe nothing any more: the channel is gone, its tags are lost (A5.15)."""
        self._waits.clear()
        self._refused.clear()
        self._safe = self._confirmed
