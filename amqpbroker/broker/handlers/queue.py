"""Class queue (FEATURES A4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from amqpbroker.broker.arguments import (
    DEFAULT_QUEUE_TYPE,
    check_declare,
    check_replicated,
    check_same,
    check_same_arguments,
    check_server_named,
    known_arguments,
    queue_type,
)
from amqpbroker.broker.handlers.answer import answer
from amqpbroker.broker.handlers.bindings import bind_destination, unbind_destination
from amqpbroker.broker.names import REPLY_TO, check_new, generate, strip_line_ends
from amqpbroker.broker.queue_types import create_queue
from amqpbroker.broker.quotas import check_new_queue
from amqpbroker.errors import not_found, not_implemented, precondition_failed
from amqpbroker.routing.binding import Destination
from amqpbroker.wire.methods import (
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
    QueuePurge,
    QueuePurgeOk,
    QueueUnbind,
    QueueUnbindOk,
)
from amqpbroker.wire.table import KIND_NAMES, Field

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from amqpbroker.broker.channel import Channel
    from amqpbroker.broker.consumer import Consumer
    from amqpbroker.broker.queue import Queue
    from amqpbroker.wire.table import Table


def declare(channel: Channel, event: QueueDeclare) -> Awaitable[None] | None:
    """Declare a queue, or with ``passive`` only look at it (FEATURES A4.1-A4.5).

    Raises :class:`~amqpbroker.errors.SoftError` 403, 404, 405 or 406.
    """
    name = strip_line_ends(event.queue)
    if name.startswith(REPLY_TO):
        name, counts = name, _reply_queue(channel, name)
    elif event.passive:
        queue = channel.vhost.queue(name, channel.session)
        queue.renew()
        counts = len(queue.ready), len(queue.consumers)
    else:
        queue = _declare(channel, name, event)
        name = queue.name
        counts = len(queue.ready), len(queue.consumers)
    channel.last_queue_name = name
    return answer(channel, QueueDeclareOk(name, *counts), nowait=event.nowait)


def _reply_queue(channel: Channel, name: str) -> tuple[int, int]:
    """Tell a responder whether the requester is still there (FEATURES A4.4, A5.16)."""
    if name != REPLY_TO and name not in channel.session.broker.reply_consumers:
        raise not_found(f"no {channel.described('queue', name)}")
    return 0, 1


def _declare(channel: Channel, name: str, event: QueueDeclare) -> Queue:
    session = channel.session
    arguments = _with_default_type(channel, event)
    if name:
        check_new("queue", name)
    else:
        check_server_named(arguments)
        name = channel.generated_name = channel.generated_name or generate("amq.gen")
    session.check("queue", name, "configure")
    channel.generated_name = ""
    owner = session if event.exclusive else None
    is_durable = event.durable and not event.exclusive
    where = channel.described("queue", name)
    queue = channel.vhost.queues.get(name)
    if queue is not None:
        channel.vhost.check_access(queue, owner, is_declare=True)
        check_same("durable", where, queue.is_durable, is_durable)
        check_same("auto_delete", where, queue.is_auto_delete, event.auto_delete)
        names = known_arguments(queue.arguments)
        check_same_arguments(names, where, queue.arguments, arguments)
        queue.renew()
        return queue
    session.broker.imports.check_free("queue", channel.vhost.name, name)
    check_new_queue(channel.vhost, name)
    _check_dead_letter_permitted(channel, name, event)
    check_declare(arguments, where)
    kind = queue_type(arguments)
    if kind != "classic":
        check_replicated(
            where,
            is_auto_delete=event.auto_delete,
            is_exclusive=event.exclusive,
            is_durable=event.durable,
        )
    queue = create_queue(
        name,
        is_durable=is_durable,
        is_auto_delete=event.auto_delete,
        arguments=arguments,
        owner=owner,
        journal=session.broker.journal if is_durable else None,
    )
    channel.vhost.add_queue(queue)
    return queue


def _with_default_type(channel: Channel, event: QueueDeclare) -> Table:
    """Add the vhost's queue type to a durable queue that names none and may be of it (A4.12)."""
    default = channel.vhost.metadata.default_queue_type
    if default is None or not event.durable or event.exclusive or "x-queue-type" in event.arguments:
        return event.arguments
    if event.auto_delete and default != DEFAULT_QUEUE_TYPE:
        return event.arguments
    return event.arguments | {"x-queue-type": Field("S", default.encode())}


def _check_dead_letter_permitted(channel: Channel, name: str, event: QueueDeclare) -> None:
    """A dead-letter exchange needs read on the queue and write on it (FEATURES A9.13)."""
    field = event.arguments.get("x-dead-letter-exchange")
    if field is None:
        return
    if field.kind != "S":
        where = channel.described("queue", name)
        kind = KIND_NAMES[field.kind]
        raise precondition_failed(
            f"invalid type '{kind}' for arg 'x-dead-letter-exchange' in {where}"
        )
    channel.session.check("queue", name, "read")
    exchange = field.value.decode("utf-8", "surrogateescape")
    channel.session.check("exchange", exchange, "write")


def bind(channel: Channel, event: QueueBind) -> Awaitable[None] | None:
    """Bind a queue to an exchange (FEATURES A4.8)."""
    name = channel.queue_name(event.queue)
    key = name if not event.queue and not event.routing_key else event.routing_key
    bind_destination(
        channel,
        strip_line_ends(event.exchange),
        Destination("queue", strip_line_ends(name)),
        key,
        event.arguments,
    )
    return answer(channel, QueueBindOk(), nowait=event.nowait)


def unbind(channel: Channel, event: QueueUnbind) -> Awaitable[None] | None:
    """Remove a queue's binding; one that is not there is fine."""
    name = channel.queue_name(event.queue)
    key = name if not event.queue and not event.routing_key else event.routing_key
    unbind_destination(
        channel,
        strip_line_ends(event.exchange),
        Destination("queue", strip_line_ends(name)),
        key,
        event.arguments,
    )
    return answer(channel, QueueUnbindOk())


def purge(channel: Channel, event: QueuePurge) -> None:
    """Drop the ready messages (FEATURES A4.9).

    Raises :class:`~amqpbroker.errors.SoftError` 403, 404 or 405.
    """
    name = channel.queue_name(event.queue)
    channel.session.check("queue", name, "read")
    queue = channel.vhost.queue(name, channel.session)
    if queue.type == "stream":
        where = channel.described("queue", name)
        raise not_implemented(f"queue.purge not supported by stream queues {where}")
    count = queue.purge()
    if not event.nowait:
        channel.session.send(channel.number, QueuePurgeOk(count))


def delete(channel: Channel, event: QueueDelete) -> Awaitable[None] | None:
    """Delete a queue; one that is not there is fine (FEATURES A4.10).

    Consumers are told after the answer: py-amqp raises at a cancel that comes before.

    Raises :class:`~amqpbroker.errors.SoftError` 403, 405, or 406 if it is used and must not be.
    """
    name = strip_line_ends(channel.queue_name(event.queue))
    channel.session.check("queue", name, "configure")
    vhost = channel.vhost
    count = 0
    consumers: list[Consumer] = []
    queue = vhost.queues.get(name)
    if queue is not None:
        vhost.check_access(queue, channel.session)
        _check_conditions(channel, queue, event)
        if queue.type != "stream":  # RabbitMQ deletes a stream whatever the conditions
            vhost.check_unused(queue, if_unused=event.if_unused, if_empty=event.if_empty)
        count, consumers = vhost.remove_queue(queue)

    def notify() -> None:
        for consumer in consumers:
            consumer.channel.session.cancelled_by_server(consumer)

    return answer(channel, QueueDeleteOk(count), nowait=event.nowait, then=notify)


def _check_conditions(channel: Channel, queue: Queue, event: QueueDelete) -> None:
    """Quorum queues have no conditional delete."""
    for flag, is_set in (("if-unused", event.if_unused), ("if-empty", event.if_empty)):
        if is_set and queue.type == "quorum":
            where = channel.described("queue", queue.name)
            raise not_implemented(
                f"cannot delete {where}. queue.delete operations with {flag} flag set are not "
                "supported by quorum queues"
            )


HANDLERS: Final[dict[type, Any]] = {
    QueueDeclare: declare,
    QueueBind: bind,
    QueueUnbind: unbind,
    QueuePurge: purge,
    QueueDelete: delete,
}
