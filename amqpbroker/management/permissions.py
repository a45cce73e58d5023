"""``/permissions`` and ``/topic-permissions`` (FEATURES A18.13)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from amqpbroker.auth.exceptions import InvalidRegexp
from amqpbroker.auth.principal import ADMINISTRATOR
from amqpbroker.auth.users import Permissions, TopicPermissions
from amqpbroker.management import accounts
from amqpbroker.management.call import Answer, Api, Json, created, done
from amqpbroker.management.errors import bad_request, not_found
from amqpbroker.management.exchanges import exchange_name
from amqpbroker.management.listing import respond
from amqpbroker.management.paths import new_router

if TYPE_CHECKING:
    from amqpbroker.management.listing import Row

router = new_router()


class Patterns(BaseModel):
    """The body of a PUT of permissions."""

    configure: str
    write: str
    read: str


class TopicPatterns(BaseModel):
    """The body of a PUT of topic permissions."""

    exchange: str
    write: str
    read: str


def _rows(call: Api, user: str | None = None, vhost: str | None = None) -> list[Row]:
    """Return permissions, of one user or vhost if it is named; raises 404 if there is none such."""
    call.require(ADMINISTRATOR)
    _check_named(call, user, vhost)
    return [
        {"user": owner, "vhost": where, **patterns._asdict()}
        for (owner, where), patterns in call.broker.users.permissions.items()
        if user in (None, owner) and vhost in (None, where)
    ]


def _topic_rows(call: Api, user: str | None = None, vhost: str | None = None) -> list[Row]:
    call.require(ADMINISTRATOR)
    _check_named(call, user, vhost)
    return [
        {"user": owner, "vhost": where, "exchange": exchange, **patterns._asdict()}
        for (owner, where, exchange), patterns in call.broker.users.topic_permissions.items()
        if user in (None, owner) and vhost in (None, where)
    ]


def _check_named(call: Api, user: str | None, vhost: str | None) -> None:
    is_known = user is None or user in call.broker.users.users
    if not is_known or not (vhost is None or vhost in call.broker.vhosts):
        raise not_found()


async def _respond(call: Api, rows: list[Row]) -> Json:
    def key(row: Row) -> tuple[str, ...]:
        return row["vhost"], row.get("exchange", ""), row["user"]

    return await respond(call, rows, lambda row: row, key=key)


def _check_target(call: Api, vhost: str, user: str) -> None:
    if vhost not in call.broker.vhosts or user not in call.broker.users.users:
        raise bad_request("vhost_or_user_not_found")


def _wrong_pattern(patterns: tuple[str, ...], error: InvalidRegexp) -> Any:
    return ["invalid_regexp", list(patterns), str(error)]


@router.get("/permissions")
async def list_all(call: Api) -> Answer:
    """List all permissions."""
    return await _respond(call, _rows(call))


@router.get("/vhosts/{vhost:name}/permissions")
async def list_of_vhost(call: Api, vhost: str) -> Answer:
    """List the permissions in a vhost."""
    return await _respond(call, _rows(call, vhost=vhost))


@router.get("/users/{user:name}/permissions")
async def list_of_user(call: Api, user: str) -> Answer:
    """List the permissions of a user."""
    return await _respond(call, _rows(call, user=user))


@router.get("/permissions/{vhost:name}/{user:name}")
async def show(call: Api, vhost: str, user: str) -> Answer:
    """Show what a user may do in a vhost."""
    rows = _rows(call, user=user, vhost=vhost)
    if not rows:
        raise not_found()
    return Json(rows[0])


@router.put("/permissions/{vhost:name}/{user:name}")
async def put(call: Api, vhost: str, user: str) -> Answer:
    """Set what a user may do in a vhost."""
    call.require(ADMINISTRATOR)
    body = await call.body(Patterns)
    _check_target(call, vhost, user)
    is_new = (user, vhost) not in call.broker.users.permissions
    patterns = Permissions(body.configure, body.write, body.read)
    try:
        await accounts.permit(call.broker, user, vhost, patterns)
    except InvalidRegexp as error:
        raise bad_request(_wrong_pattern(patterns, error)) from None
    return created(is_new)


@router.delete("/permissions/{vhost:name}/{user:name}")
async def clear(call: Api, vhost: str, user: str) -> Answer:
    """Take a vhost from a user."""
    if not _rows(call, user=user, vhost=vhost):
        raise not_found()
    await accounts.forbid(call.broker, user, vhost)
    return done()


@router.get("/topic-permissions")
async def list_topic(call: Api) -> Answer:
    """List all topic permissions."""
    return await _respond(call, _topic_rows(call))


@router.get("/vhosts/{vhost:name}/topic-permissions")
async def list_topic_of_vhost(call: Api, vhost: str) -> Answer:
    """List the topic permissions in a vhost."""
    return await _respond(call, _topic_rows(call, vhost=vhost))


@router.get("/users/{user:name}/topic-permissions")
async def list_topic_of_user(call: Api, user: str) -> Answer:
    """List the topic permissions of a user."""
    return await _respond(call, _topic_rows(call, user=user))


@router.get("/topic-permissions/{vhost:name}/{user:name}")
async def show_topic(call: Api, vhost: str, user: str) -> Answer:
    """List the topic permissions of a user in a vhost."""
    rows = _topic_rows(call, user=user, vhost=vhost)
    if not rows:
        raise not_found()
    return await _respond(call, rows)


@router.put("/topic-permissions/{vhost:name}/{user:name}")
async def put_topic(call: Api, vhost: str, user: str) -> Answer:
    """Set which routing keys of a topic exchange a user may write and read."""
    call.require(ADMINISTRATOR)
    body = await call.body(TopicPatterns)
    _check_target(call, vhost, user)
    exchange = exchange_name(body.exchange)
    is_new = (user, vhost, exchange) not in call.broker.users.topic_permissions
    patterns = TopicPermissions(body.write, body.read)
    try:
        await accounts.permit_topics(call.broker, user, vhost, exchange, patterns)
    except InvalidRegexp as error:
        raise bad_request(_wrong_pattern(patterns, error)) from None
    return created(is_new)


@router.delete("/topic-permissions/{vhost:name}/{user:name}")
async def clear_topic(call: Api, vhost: str, user: str) -> Answer:
    """Lift all topic permissions of a user in a vhost."""
    if not _topic_rows(call, user=user, vhost=vhost):
        raise not_found()
    await accounts.forbid_topics(call.broker, user, vhost)
    return done()
