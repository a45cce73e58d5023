"""What binding a queue and binding an exchange have in common (FEATURES A3.10, A4.8).

Checked in RabbitMQ's order: write on the destination, no default exchange, read on the source and
on the topic, existence (the source first), whether the exchange takes it, and exclusive access.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqpbroker.broker.message import Message
from amqpbroker.broker.router import Route, find_queues_once
from amqpbroker.errors import access_refused
from amqpbroker.routing.binding import Binding, freeze_arguments
from amqpbroker.routing.types.topic_exchange import TopicExchange

if TYPE_CHECKING:
    from amqpbroker.broker.channel import Channel
    from amqpbroker.broker.queue import Queue
    from amqpbroker.routing.binding import Destination
    from amqpbroker.routing.exchange import Exchange
    from amqpbroker.wire.table import Table


def bind_destination(
    channel: Channel, source: str, destination: Destination, binding_key: str, arguments: Table
) -> None:
    """Add a binding; the same one twice is fine.

    Raises :class:`~amqpbroker.errors.SoftError` 403, 404, 405 or 406.
    """
    _check_permitted(channel, source, destination, binding_key)
    vhost = channel.vhost
    binding = Binding(source, destination, binding_key, freeze_arguments(arguments))
    channel.session.broker.imports.check_free(vhost.name, binding)
    exchange = vhost.exchange(source)
    if destination.kind == "queue":
        queue = vhost.find_queue(destination.name)
        exchange.check_queue_type(queue.type)
        exchange.check_binding(binding)
        vhost.check_access(queue, channel.session)
    else:
        vhost.exchange(destination.name)
    if vhost.bind(binding):
        _replay_history(channel, exchange, destination)


def unbind_destination(
    channel: Channel, source: str, destination: Destination, binding_key: str, arguments: Table
) -> None:
    """Remove a binding; anything missing is fine.

    Raises :class:`~amqpbroker.errors.SoftError` 403 or 405.
    """
    _check_permitted(channel, source, destination, binding_key)
    vhost = channel.vhost
    binding = Binding(source, destination, binding_key, freeze_arguments(arguments))
    exchange = vhost.exchanges.get(source)
    if exchange is None or binding not in exchange.bindings:
        return
    if destination.kind == "queue":
        vhost.check_access(vhost.queues[destination.name], channel.session)
    vhost.unbind(binding)


def _check_permitted(
    channel: Channel, source: str, destination: Destination, binding_key: str
) -> None:
    session = channel.session
    session.check(destination.kind, destination.name, "write")
    if not source or (destination.kind == "exchange" and not destination.name):
        raise access_refused("operation not permitted on the default exchange")
    session.check("exchange", source, "read")
    if isinstance(channel.vhost.exchanges.get(source), TopicExchange):
        session.permits.check_topic(session, source, binding_key, "read")


def _replay_history(channel: Channel, exchange: Exchange, destination: Destination) -> None:
    """Send a new destination what a recent-history exchange has kept (FEATURES A12.9)."""
    vhost = channel.vhost
    for kept in exchange.history():
        assert isinstance(kept, Message), "unstable exchanges are handed whole messages"
        queues: tuple[Queue, ...]
        if destination.kind == "queue":
            queues = (vhost.queues[destination.name],)
        else:
            queues = find_queues_once(vhost, vhost.exchanges[destination.name], kept)
        assert kept.body is not None, "it is in no log"
        Route(kept.publication, queues).publish(None, [kept.body])
