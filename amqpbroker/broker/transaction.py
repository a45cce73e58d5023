"""A transaction of one channel (FEATURES A7).

Publishes are routed when they come and reach their queues at commit. A route is one to names, as in
RabbitMQ: they may have been deleted and declared meanwhile (and the default exchange routes to a
name whether there is such a queue or not). Settled deliveries wait outside of ``unsettled`` until
then. Commit applies publishes first, then settles, in their order; those in a row of one kind as if
one method had settled them, as RabbitMQ does.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Literal

from amqpbroker.broker.returned_room import by_consumer
from amqpbroker.broker.runs import Run
from amqpbroker.broker.stream_queue import refuse_streams
from amqpbroker.errors import precondition_failed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from amqpbroker.broker.channel import Channel
    from amqpbroker.broker.message import Delivery
    from amqpbroker.broker.router import Route

Outcome = Literal["ack", "drop", "requeue"]


def settle(channel: Channel, outcome: Outcome, deliveries: list[Delivery]) -> None:
    """Settle deliveries in one go, those of each consumer together unless they come back.

    Raises :class:`~amqpbroker.errors.HardError` 540 at a message of a stream that is rejected.
    """
    if outcome != "ack":
        refuse_streams(deliveries)
    if outcome != "requeue":
        deliveries = by_consumer(deliveries)
    getattr(channel, outcome)(deliveries)


class Transaction:
    """What a transactional channel has done since the last commit or rollback."""

    __slots__ = ("_channel", "_publishes", "_settles")

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._publishes: list[tuple[Route, list[bytes], object]] = []
        """With the epoch of the vhost at that time."""
        self._settles: list[tuple[Outcome, list[Delivery]]] = []

    def publish(self, route: Route, bodies: list[bytes]) -> None:
        """Keep messages until commit."""
        self._publishes.append((route, bodies, self._channel.vhost.epoch))

    def settle(self, outcome: Outcome, deliveries: list[Delivery]) -> None:
        """Keep the settling of deliveries, taken from the channel, until commit."""
        if self._settles and self._settles[-1][0] == outcome:
            self._settles[-1][1].extend(deliveries)
        else:
            self._settles.append((outcome, deliveries))

    def commit(self) -> bool:
        """Apply everything; return whether there is something that must reach the disk.

        Raises :class:`~amqpbroker.errors.SoftError` 406 if a queue has refused a message; all else
        is applied nevertheless (FEATURES A7.2). Raises :class:`~amqpbroker.errors.HardError` 540
        at a message of a stream that was rejected.
        """
        publishes, settles = self._publishes, self._settles
        self._publishes, self._settles = [], []
        channel = self._channel
        vhost = channel.vhost
        published = [
            (route if epoch is vhost.epoch else route.again(vhost)).publish(channel, bodies)
            for route, bodies, epoch in publishes
        ]
        for outcome, deliveries in settles:
            settle(channel, outcome, sorted(deliveries, key=attrgetter("tag")))
        settled = [item.message for _, deliveries in settles for item in deliveries]
        is_kept = any(isinstance(message.run, Run) for message in settled)
        if any(refused for _, refused in published):
            raise precondition_failed("partial tx completion")
        return is_kept or any(ticket for ticket, _ in published)

    def deliveries(self) -> Iterator[Delivery]:
        """Yield the deliveries whose settling waits for commit."""
        for _, deliveries in self._settles:
            yield from deliveries

    def rollback(self) -> None:
        """Forget the publishes; deliveries are unsettled again, not redelivered (A7.3)."""
        channel = self._channel
        returned = [item for _, deliveries in self._settles for item in deliveries]
        self._publishes, self._settles = [], []
        if returned:
            unsettled = {**channel.unsettled, **{item.tag: item for item in returned}}
            channel.unsettled = dict(sorted(unsettled.items()))
            if channel.deadlines is not None:
                channel.deadlines.watch_again(returned)
