"""``/channels`` (FEATURES A18.15)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amqpbroker.management.call import Answer, Api, Json
from amqpbroker.management.connections import addresses, find
from amqpbroker.management.consumers import describe as describe_consumer
from amqpbroker.management.errors import not_found
from amqpbroker.management.listing import respond
from amqpbroker.management.paths import new_router

if TYPE_CHECKING:
    from collections.abc import Iterable

    from amqpbroker.broker.channel import Channel
    from amqpbroker.broker.session import Session

router = new_router()


def describe(call: Api, channel: Channel) -> dict[str, Any]:
    """Return a channel as the API shows it."""
    session = channel.session
    username = session.principal.username if session.principal is not None else None
    return {
        "confirm": channel.confirms is not None,
        "connection_details": {"name": session.name, **addresses(session.name)},
        "consumer_count": len(channel.consumers),
        "global_prefetch_count": channel.prefetch_count_global,
        "messages_unacknowledged": len(channel.unsettled),
        "name": name_of(channel),
        "node": call.node,
        "number": channel.number,
        "prefetch_count": channel.prefetch_count,
        "state": "running",
        "transactional": channel.transaction is not None,
        "user": username,
        "user_who_performed_action": username,
        "vhost": channel.vhost.name,
    }


def name_of(channel: Channel) -> str:
    """Return the name of a channel: its connection's and its number."""
    return f"{channel.session.name} ({channel.number})"


async def _respond(call: Api, sessions: Iterable[Session]) -> Json:
    channels = [channel for session in sessions for channel in session.channels.values()]
    return await respond(
        call,
        channels,
        lambda channel: describe(call, channel),
        key=lambda channel: (channel.vhost.name, name_of(channel)),
    )


@router.get("/channels")
async def list_all(call: Api) -> Answer:
    """List channels: all for monitoring users, else one's own."""
    return await _respond(call, call.sessions())


@router.get("/vhosts/{vhost:name}/channels")
async def list_one(call: Api, vhost: str) -> Answer:
    """List the channels in a vhost."""
    found = call.vhost(vhost)
    return await _respond(call, [item for item in call.sessions() if item.vhost is found])


@router.get("/connections/{name:name}/channels")
async def list_of_connection(call: Api, name: str) -> Answer:
    """List the channels of a connection."""
    return await _respond(call, [find(call, name)])


@router.get("/channels/{name:name}")
async def show(call: Api, name: str) -> Answer:
    """Show a channel with its consumers."""
    connection, _, number = name.rpartition(" (")
    session = find(call, connection)
    for channel in session.channels.values():
        if number == f"{channel.number})":
            consumers = [describe_consumer(call, item) for item in channel.consumers.values()]
            row = {**describe(call, channel), "consumer_details": consumers}
            return Json({**row, "deliveries": [], "publishes": []})
    raise not_found()
