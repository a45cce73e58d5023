"""Class basic: qos, consume, cancel, get, recover (FEATURES A6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from amqpbroker.broker import stream_arguments
from amqpbroker.broker.arguments import check_consume
from amqpbroker.broker.bodies import bodies_now, wait_for_head
from amqpbroker.broker.consumer import Consumer
from amqpbroker.broker.direct_reply_to import ReplyConsumer
from amqpbroker.broker.message import Delivery
from amqpbroker.broker.names import REPLY_TO, generate
from amqpbroker.broker.returned_room import unblock
from amqpbroker.broker.stream_queue import StreamQueue, refuse_streams
from amqpbroker.errors import (
    access_refused,
    internal_error,
    not_allowed,
    not_implemented,
    precondition_failed,
    resource_locked,
)
from amqpbroker.wire.content import content
from amqpbroker.wire.methods import (
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicConsumeOk,
    BasicGet,
    BasicGetEmpty,
    BasicGetOk,
    BasicQos,
    BasicQosOk,
    BasicRecover,
    BasicRecoverAsync,
    BasicRecoverOk,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from amqpbroker.broker.channel import Channel
    from amqpbroker.broker.queue import Queue
    from amqpbroker.wire.table import Table


def qos(channel: Channel, event: BasicQos) -> None:
    """Limit unsettled deliveries: of consumers to come, or of all together (A6.5, A6.6).

    Raises :class:`~amqpbroker.errors.HardError` 540 for a limit in bytes.
    """
    if event.prefetch_size:
        raise not_implemented(f"prefetch_size!=0 ({event.prefetch_size})")
    if event.is_global:
        channel.prefetch_count_global = event.prefetch_count
    else:
        channel.prefetch_count = event.prefetch_count
        channel.prefetch_count_global = 0
    channel.session.send(channel.number, BasicQosOk())
    unblock(channel)


def consume(channel: Channel, event: BasicConsume) -> None:
    """Start a consumer (FEATURES A6.1, A6.2).

    Raises :class:`~amqpbroker.errors.AmqpError`: 403 in exclusive use, 404, 405, 406 bad
    arguments, 530 for a tag in use, 540 for a quorum queue with global prefetch.
    """
    name = channel.queue_name(event.queue)
    tag = event.consumer_tag
    if tag in channel.consumers:
        raise not_allowed(f"attempt to reuse consumer tag '{tag}'")
    _check_consumer_count(channel)
    if not tag:
        tag = generate("amq.ctag")
    if name == REPLY_TO:
        _consume_replies(channel, event, tag)
        return
    channel.session.check("queue", name, "read")
    queue = channel.vhost.queue(name, channel.session)
    if isinstance(queue, StreamQueue):
        consumer = _subscribe(channel, queue, event, tag)
    else:
        consumer = _new_consumer(channel, queue, event, tag)
    channel.consumers[tag] = consumer
    queue.add_consumer(consumer)
    if not event.nowait:
        channel.session.send(channel.number, BasicConsumeOk(tag))
    queue.pump()


def _new_consumer(channel: Channel, queue: Queue, event: BasicConsume, tag: str) -> Consumer:
    where = channel.described("queue", queue.name)
    check_consume(event.arguments, where, queue.type)
    _check_priority(queue, where, event.arguments)
    is_exclusive = event.exclusive
    if queue.type == "quorum":
        is_exclusive = False
        if channel.prefetch_count_global:
            raise not_implemented(f"{where} does not support global qos")
    _check_exclusive(channel, queue, is_exclusive)
    return Consumer(
        channel,
        queue,
        tag,
        no_ack=event.no_ack,
        is_exclusive=is_exclusive,
        arguments=event.arguments,
    )


def _subscribe(channel: Channel, queue: StreamQueue, event: BasicConsume, tag: str) -> Consumer:
    where = channel.described("queue", queue.name)
    stream_arguments.check_consume(channel, event.arguments, where, no_ack=event.no_ack)
    return queue.subscribe(channel, tag, is_exclusive=event.exclusive, arguments=event.arguments)


def _check_priority(queue: Queue, where: str, arguments: Table) -> None:
    """Refuse a priority where keys decide who gets what."""
    if "x-priority" not in arguments:
        return
    settings = queue.settings
    if settings.partitions > 1 or (settings.message_groups and settings.sticky_groups):
        name = "x-partitions" if settings.partitions > 1 else "x-sticky-groups"
        wrong = f"invalid arg 'x-priority' for {where}: not possible with '{name}'"
        raise precondition_failed(wrong)


def _check_consumer_count(channel: Channel) -> None:
    count_max = channel.session.broker.config.consumer_max_per_channel
    if count_max is not None and len(channel.consumers) >= count_max:
        raise not_allowed(f"reached maximum ({count_max}) of consumers per channel")


def _check_exclusive(channel: Channel, queue: Queue, is_exclusive: bool) -> None:
    is_taken = queue.exclusive_consumer is not None
    if is_exclusive:
        is_taken = is_taken or len(queue.consumers) > 0 or queue.consumers.is_single_active
    if is_taken:
        raise access_refused(f"{channel.described('queue', queue.name)} in exclusive use")


def _consume_replies(channel: Channel, event: BasicConsume, tag: str) -> None:
    if not event.no_ack:
        raise precondition_failed("reply consumer cannot acknowledge")
    if channel.reply_consumer is not None:
        raise precondition_failed("reply consumer already set")
    channel.reply_consumer = ReplyConsumer(channel, tag, channel.session.broker.reply_consumers)
    if not event.nowait:
        channel.session.send(channel.number, BasicConsumeOk(tag))


def cancel(channel: Channel, event: BasicCancel) -> None:
    """End a consumer; its unsettled deliveries stay with the channel (FEATURES A6.12)."""
    tag = event.consumer_tag
    consumer = channel.consumers.pop(tag, None)
    if channel.reply_consumer is not None and channel.reply_consumer.tag == tag:
        channel.reply_consumer.close()
        channel.reply_consumer = None
    if consumer is not None:
        consumer.queue.remove_consumer(consumer)
    if not event.nowait:
        channel.session.send(channel.number, BasicCancelOk(tag))
    if consumer is not None:
        consumer.queue.pump()
        if consumer.queue.is_abandoned:
            channel.vhost.delete_queue(consumer.queue)


def get(channel: Channel, event: BasicGet) -> Awaitable[None] | None:
    """Fetch one message (FEATURES A6.10).

    Raises :class:`~amqpbroker.errors.AmqpError`: 403, 404, 405, 540 for a stream, or 541 if the
    message cannot be read.
    """
    name = channel.queue_name(event.queue)
    channel.session.check("queue", name, "read")
    queue = channel.vhost.queue(name, channel.session)
    if queue.type == "quorum" and queue.consumers.is_single_active:
        raise resource_locked(
            f"cannot obtain access to locked {channel.described('queue', queue.name)}. basic.get "
            "operations are not supported by quorum queues with single active consumer"
        )
    if queue.type == "stream":
        where = channel.described("queue", name)
        raise not_implemented(f"basic.get not supported by stream queues {where}")
    waiting = wait_for_head(queue)
    if waiting is not None:
        return _get_later(channel, event, waiting)
    _get(channel, event, queue)
    return None


async def _get_later(channel: Channel, event: BasicGet, waiting: Awaitable[object]) -> None:
    """Fetch when the body is there, if nobody else has fetched the message meanwhile."""
    await waiting
    if channel.session.channels.get(channel.number) is channel:
        pending = get(channel, event)
        if pending is not None:
            await pending


def _get(channel: Channel, event: BasicGet, queue: Queue) -> None:
    session = channel.session
    ready = queue.get()
    if ready is None:
        session.send(channel.number, BasicGetEmpty())
        return
    bodies = bodies_now(queue.pager, (ready.message,))
    if bodies is None:
        queue.ready.give_back(ready.position, ready.message)
        raise internal_error("the message cannot be read")
    channel.last_tag = tag = channel.last_tag + 1
    publication = ready.message.publication
    if event.no_ack:
        queue.settle((ready.message,))
    else:
        channel.lend([Delivery(tag, queue, ready.position, ready.message, None)])
    method = BasicGetOk(
        tag, ready.redelivered, publication.exchange, publication.routing_key, len(queue.ready)
    )
    size = session.wire.frame_size_max
    session.wire.write(content(channel.number, method, publication, bodies[0], size))
    session.touch()


def recover_async(channel: Channel, event: BasicRecoverAsync | BasicRecover) -> None:
    """Requeue everything unsettled (FEATURES A6.11).

    Raises :class:`~amqpbroker.errors.HardError` 540 for requeue=false.
    """
    if not event.requeue:
        raise not_implemented("requeue=false")
    deliveries = channel.take(0, multiple=True)
    refuse_streams(deliveries)
    channel.requeue(deliveries)


def recover(channel: Channel, event: BasicRecover) -> None:
    """The same with an answer."""
    recover_async(channel, event)
    channel.session.send(channel.number, BasicRecoverOk())


HANDLERS: Final[dict[type, Any]] = {
    BasicQos: qos,
    BasicConsume: consume,
    BasicCancel: cancel,
    BasicGet: get,
    BasicRecover: recover,
    BasicRecoverAsync: recover_async,
}
