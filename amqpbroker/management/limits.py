"""``/vhost-limits`` and ``/user-limits`` (FEATURES A15.10, A18.14).

Administrators set them (RabbitMQ 3.10.8, tried): a tenant must not lift what holds it back.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import BaseModel

from amqpbroker.auth.principal import ADMINISTRATOR, MONITORING
from amqpbroker.broker.quotas import USER_LIMITS, VHOST_LIMITS
from amqpbroker.management import accounts
from amqpbroker.management.call import Answer, Api, Json, done
from amqpbroker.management.errors import bad_request, not_found
from amqpbroker.management.paths import new_router

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from amqpbroker.auth.principal import User
    from amqpbroker.broker.vhost import VHost

router = new_router()


class Limit(BaseModel):
    """The body of a PUT; a negative value is no limit."""

    value: int


def _vhost(call: Api, name: str) -> VHost:
    vhost = call.broker.vhosts.get(name)
    if vhost is None:
        raise not_found()
    return vhost


def _user(call: Api, name: str) -> User:
    user = call.broker.users.users.get(name)
    if user is None:
        raise not_found()
    return user


def _changed(
    limits: Mapping[str, int], known: Sequence[str], name: str, value: int | None
) -> dict[str, int]:
    if name not in known:
        raise bad_request(f"Unrecognised limit name: {name}")
    changed = {key: limit for key, limit in limits.items() if key != name}
    return changed if value is None else {**changed, name: value}


@router.get("/vhost-limits")
async def list_of_vhosts(call: Api) -> Answer:
    """List the vhosts that have limits."""
    return Json(
        [{"vhost": vhost.name, "value": vhost.limits} for vhost in call.vhosts() if vhost.limits]
    )


@router.get("/vhost-limits/{name:name}")
async def show_of_vhost(call: Api, name: str) -> Answer:
    """Show the limits of a vhost, as a list of one or none."""
    sees_all = call.principal.has_tag(MONITORING)
    vhost = _vhost(call, name) if sees_all else call.vhost(name)
    return Json([{"vhost": vhost.name, "value": vhost.limits}] if vhost.limits else [])


@router.put("/vhost-limits/{name:name}/{limit:name}")
async def put_of_vhost(call: Api, name: str, limit: str) -> Answer:
    """Set a limit of a vhost."""
    call.require(ADMINISTRATOR)
    vhost = _vhost(call, name)
    body = await call.body(Limit)
    limits = _changed(vhost.limits, VHOST_LIMITS, limit, body.value)
    await accounts.set_vhost_limits(call.broker, vhost, limits)
    return done()


@router.delete("/vhost-limits/{name:name}/{limit:name}")
async def delete_of_vhost(call: Api, name: str, limit: str) -> Answer:
    """Lift a limit of a vhost."""
    call.require(ADMINISTRATOR)
    vhost = _vhost(call, name)
    limits = _changed(vhost.limits, VHOST_LIMITS, limit, None)
    await accounts.set_vhost_limits(call.broker, vhost, limits)
    return done()


@router.get("/user-limits")
async def list_of_users(call: Api) -> Answer:
    """List the users who have limits."""
    call.require(ADMINISTRATOR)
    users = call.broker.users.users.values()
    return Json([{"user": user.name, "value": dict(user.limits)} for user in users if user.limits])


@router.get("/user-limits/{name:name}")
async def show_of_user(call: Api, name: str) -> Answer:
    """Show the limits of a user, as a list of one or none."""
    call.require(ADMINISTRATOR)
    user = _user(call, name)
    return Json([{"user": user.name, "value": dict(user.limits)}] if user.limits else [])


@router.put("/user-limits/{name:name}/{limit:name}")
async def put_of_user(call: Api, name: str, limit: str) -> Answer:
    """Set a limit of a user."""
    call.require(ADMINISTRATOR)
    user = _user(call, name)
    body = await call.body(Limit)
    limits = _changed(user.limits, USER_LIMITS, limit, body.value)
    await accounts.put_user(call.broker, replace(user, limits=limits))
    return done()


@router.delete("/user-limits/{name:name}/{limit:name}")
async def delete_of_user(call: Api, name: str, limit: str) -> Answer:
    """Lift a limit of a user."""
    call.require(ADMINISTRATOR)
    user = _user(call, name)
    limits = _changed(user.limits, USER_LIMITS, limit, None)
    await accounts.put_user(call.broker, replace(user, limits=limits))
    return done()
