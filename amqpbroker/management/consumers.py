"""``/consumers`` (FEATURES A18.15)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amqpbroker.management.call import Answer, Api, Json  # noqa: TC001 - FastAPI reads it
from amqpbroker.management.connections import addresses
from amqpbroker.management.listing import respond
from amqpbroker.management.paths import new_router
from amqpbroker.management.values import to_json

if TYPE_CHECKING:
    from amqpbroker.broker.consumer import Consumer
    from amqpbroker.broker.vhost import VHost

router = new_router()


def describe(call: Api, consumer: Consumer) -> dict[str, Any]:
    """Return a consumer as the API shows it."""
    channel, queue = consumer.channel, consumer.queue
    session = channel.session
    is_active = queue.consumers.is_active(consumer)
    return {
        "arguments": to_json(consumer.arguments),
        "ack_required": not consumer.no_ack,
        "active": is_active,
        "activity_status": "up" if is_active else "waiting",
        "channel_details": {
            "connection_name": session.name,
            "name": f"{session.name} ({channel.number})",
            "node": call.node,
            "number": channel.number,
            **addresses(session.name),
            "user": session.principal.username if session.principal is not None else "",
        },
        "consumer_tag": consumer.tag,
        "exclusive": consumer.is_exclusive,
        "prefetch_count": consumer.prefetch_count,
        "queue": {"name": queue.name, "vhost": channel.vhost.name},
    }


async def _respond(call: Api, vhosts: list[VHost]) -> Json:
    items = [
        consumer
        for vhost in vhosts
        for queue in vhost.queues.values()
        for consumer in queue.consumers
    ]
    return await respond(
        call,
        items,
        lambda consumer: describe(call, consumer),
        key=lambda consumer: (consumer.channel.vhost.name, consumer.queue.name, consumer.tag),
    )


@router.get("/consumers")
async def list_all(call: Api) -> Answer:
    """List the consumers of all vhosts."""
    return await _respond(call, call.vhosts())


@router.get("/consumers/{vhost:name}")
async def list_one(call: Api, vhost: str) -> Answer:
    """List the consumers of a vhost."""
    return await _respond(call, [call.vhost(vhost)])
