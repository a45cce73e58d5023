"""Publisher confirms of one channel (FEATURES A5.12-A5.15).

Publishes are numbered from 1. A batch of publishes is confirmed when the shard log has committed
what they staged, or at the end of the batch if they staged nothing. Confirms leave in order, so
``multiple=true`` is always about tags that are outstanding (T10).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqpbroker.wire.methods import BasicAck

if TYPE_CHECKING:
    from amqpbroker.broker.channel import Channel


class Confirms:
    """What a channel in confirm mode owes its publisher."""

    __slots__ = ("_channel", "_confirmed", "_published")

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._published = 0
        self._confirmed = 0

    def publish(self, count: int) -> None:
        """Count messages that their queues have taken."""
        if self._published == self._confirmed:
            self._channel.session.owe_confirms(self)
        self._published += count

    def flush(self) -> None:
        """Confirm everything that is safe now."""
        count = self._published - self._confirmed
        if count:
            self._confirmed = self._published
            self._channel.session.send(self._channel.number, BasicAck(self._published, count > 1))

    def close(self) -> None:
        """Owe nothing any more: the channel is gone, its tags are lost (A5.15)."""
        self._confirmed = self._published
