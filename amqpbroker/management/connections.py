"""``/connections`` (FEATURES A18.15)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from amqpbroker.auth.principal import ADMINISTRATOR
from amqpbroker.management.call import Answer, Api, Json, done
from amqpbroker.management.errors import not_authorised, not_found
from amqpbroker.management.listing import respond
from amqpbroker.management.paths import new_router
from amqpbroker.management.values import to_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from amqpbroker.broker.session import Session

router = new_router()

CLOSED: Final = "Closed via management plugin"
"""The reason that a client is given if the request names none."""


def split_address(address: str) -> tuple[str, int]:
    """Return host and port of one side of a connection's name."""
    host, _, port = address.rpartition(":")
    return host, int(port) if port.isdigit() else 0


def addresses(name: str) -> dict[str, Any]:
    """Return the client's side of a connection, which its name begins with."""
    host, port = split_address(name.partition(" -> ")[0])
    return {"peer_host": host, "peer_port": port}


def describe(call: Api, session: Session) -> dict[str, Any]:
    """Return a connection as the API shows it."""
    host, port = split_address(session.name.partition(" -> ")[2])
    wire = session.wire
    username = session.principal.username if session.principal is not None else None
    return {
        "auth_mechanism": session.mechanism,
        "channel_max": wire.channel_count_max,
        "channels": len(session.channels),
        "client_properties": to_json(session.client_properties),
        "frame_max": wire.frame_size_max,
        "host": host,
        "name": session.name,
        "node": call.node,
        **addresses(session.name),
        "port": port,
        "protocol": "AMQP 0-9-1",
        "ssl": session.peer.is_tls,
        "state": wire.state.value,
        "timeout": session.heartbeat_s,
        "type": "network",
        "user": username,
        "user_who_performed_action": username,
        "vhost": None if session.vhost is None else session.vhost.name,
    }


async def _respond(call: Api, sessions: Iterable[Session]) -> Json:
    return await respond(
        call,
        sessions,
        lambda session: describe(call, session),
        key=lambda session: (session.vhost.name if session.vhost else "", session.name),
    )


def find(call: Api, name: str) -> Session:
    """Return a connection that the user may see.

    Raises :class:`~amqpbroker.management.errors.ApiError` 404 or 401.
    """
    named = [session for session in call.broker.sessions if session.name == name]
    if not named:
        raise not_found()
    if named[0] not in call.sessions():
        raise not_authorised("User not authorised to access object")
    return named[0]


@router.get("/connections")
async def list_all(call: Api) -> Answer:
    """List connections: all for monitoring users, else one's own."""
    return await _respond(call, call.sessions())


@router.get("/vhosts/{vhost:name}/connections")
async def list_one(call: Api, vhost: str) -> Answer:
    """List the connections to a vhost."""
    found = call.vhost(vhost)
    return await _respond(call, [item for item in call.sessions() if item.vhost is found])


@router.get("/connections/username/{username:name}")
async def list_of_user(call: Api, username: str) -> Answer:
    """List the connections of a user."""
    return await _respond(
        call,
        [
            item
            for item in call.sessions()
            if item.principal and item.principal.username == username
        ],
    )


@router.get("/connections/{name:name}")
async def show(call: Api, name: str) -> Answer:
    """Show a connection."""
    return Json(describe(call, find(call, name)))


@router.delete("/connections/{name:name}")
async def close(call: Api, name: str) -> Answer:
    """Close a connection with 320 and the text of the header ``X-Reason``."""
    session = find(call, name)
    _close(call, session)
    return done()


@router.delete("/connections/username/{username:name}")
async def close_of_user(call: Api, username: str) -> Answer:
    """Close all connections of a user."""
    for session in call.sessions():
        if session.principal is not None and session.principal.username == username:
            _close(call, session)
    return done()


def _close(call: Api, session: Session) -> None:
    is_own = session.principal is not None and session.principal == call.principal
    if not is_own:
        call.require(ADMINISTRATOR)
    session.force_close(call.request.headers.get("x-reason", CLOSED))
    call.broker.flush()
