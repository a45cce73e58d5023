"""Basic.ack, nack and reject (FEATURES A6.8, A6.9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from amqpbroker.broker.transaction import settle
from amqpbroker.wire.events import Acks
from amqpbroker.wire.methods import BasicAck, BasicNack, BasicReject

if TYPE_CHECKING:
    from amqpbroker.broker.channel import Channel
    from amqpbroker.broker.message import Delivery
    from amqpbroker.broker.transaction import Outcome


def acks(channel: Channel, event: Acks) -> None:
    """Settle single deliveries, as many as came in a row.

    Raises :class:`~amqpbroker.errors.SoftError` 406 for an unknown tag.
    """
    deliveries = channel.take_run(event.delivery_tags)
    if channel.transaction is None:
        channel.ack(deliveries)
    else:
        channel.transaction.settle("ack", deliveries)


def ack(channel: Channel, event: BasicAck) -> None:
    """Settle deliveries up to a tag."""
    _settle(channel, "ack", channel.take(event.delivery_tag, event.multiple))


def nack(channel: Channel, event: BasicNack) -> None:
    """Put deliveries back, or give them up."""
    deliveries = channel.take(event.delivery_tag, event.multiple)
    _settle(channel, "requeue" if event.requeue else "drop", deliveries)


def reject(channel: Channel, event: BasicReject) -> None:
    """Put one delivery back, or give it up."""
    deliveries = channel.take(event.delivery_tag, multiple=False)
    _settle(channel, "requeue" if event.requeue else "drop", deliveries)


def _settle(channel: Channel, outcome: Outcome, deliveries: list[Delivery]) -> None:
    if channel.transaction is not None:
        channel.transaction.settle(outcome, deliveries)
    elif deliveries:
        settle(channel, outcome, deliveries)


HANDLERS: Final[dict[type, Any]] = {
    Acks: acks,
    BasicAck: ack,
    BasicNack: nack,
    BasicReject: reject,
}
