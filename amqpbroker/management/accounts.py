"""Changes of vhosts, accounts and policies: in memory, in the catalog, for who is connected.

Each function makes its change at once, or when the import at hand is over, and returns when it is
on the disk, if there is one. A vhost that is gone by then is no error.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

from anyio.lowlevel import checkpoint

from amqpbroker.auth.users import ALL
from amqpbroker.storage.catalog.rows import GlobalParameterRow, TopicPermissionRow

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from amqpbroker.auth.principal import User
    from amqpbroker.auth.users import Permissions, TopicPermissions
    from amqpbroker.broker.broker import Broker
    from amqpbroker.broker.policies import Policy
    from amqpbroker.broker.vhost import VHost

P = ParamSpec("P")


def _in_turn(
    change: Callable[Concatenate[Broker, P], Awaitable[None]],
) -> Callable[Concatenate[Broker, P], Awaitable[None]]:
    """Keep a change and imports out of each other's way; see ``broker.imports``."""

    @wraps(change)
    async def in_turn(broker: Broker, /, *args: P.args, **kwargs: P.kwargs) -> None:
        async with broker.imports.changing():
            await change(broker, *args, **kwargs)

    return in_turn


async def _stored(broker: Broker) -> None:
    """Return when what the store was told last is on the disk.

    Raises :class:`~amqpbroker.storage.catalog.CatalogError` if it never will be.
    """
    ticket = broker.store.take_ticket() if broker.store is not None else None
    if ticket is not None:
        await ticket.wait()


async def _in_steps(broker: Broker, steps: Iterator[None]) -> None:
    """Make a change whose first step is the change itself, with turns for others in between."""
    next(steps)
    ticket = broker.store.take_ticket() if broker.store is not None else None
    for _ in steps:
        broker.flush()
        await checkpoint()
    broker.flush()
    if ticket is not None:
        await ticket.wait()


@_in_turn
async def add_vhost(broker: Broker, name: str, owner: str) -> None:
    """Make a vhost; ``owner`` gets all permissions there."""
    if name not in broker.vhosts:
        broker.add_vhost(name)
    _permit(broker, owner, name, ALL)
    await _stored(broker)


@_in_turn
async def delete_vhost(broker: Broker, vhost: VHost) -> None:
    """Delete a vhost with all that is in it; its connections are closed."""
    if broker.vhosts.get(vhost.name) is not vhost:
        return
    del broker.vhosts[vhost.name]
    for session in list(broker.sessions):
        if session.vhost is vhost:
            session.force_close(f"vhost '{vhost.name}' is deleted")
    for queue in list(vhost.queues.values()):
        vhost.delete_queue(queue)
    vhost.delayed.discard()
    vhost.windows.discard()
    vhost.redrives.discard()
    broker.users.delete_vhost(vhost.name)
    broker.rates.forget("vhost", vhost.name)
    if broker.store is not None:
        broker.store.delete_vhost(vhost.name)
    broker.permissions_changed()
    broker.flush()
    await _stored(broker)


@_in_turn
async def describe_vhost(broker: Broker, vhost: VHost, changes: Mapping[str, Any]) -> None:
    """Replace some of what a vhost says of itself."""
    metadata = replace(vhost.metadata, **changes)
    if metadata == vhost.metadata or broker.vhosts.get(vhost.name) is not vhost:
        return
    vhost.metadata = metadata
    if broker.store is not None:
        broker.store.put_vhost_itself(vhost)
    await _stored(broker)


@_in_turn
async def set_vhost_limits(broker: Broker, vhost: VHost, limits: dict[str, int]) -> None:
    """Replace what a vhost may have."""
    if broker.vhosts.get(vhost.name) is not vhost:
        return
    vhost.limits = limits
    if broker.store is not None:
        broker.store.put_vhost_itself(vhost)
    await _stored(broker)


@_in_turn
async def put_policy(broker: Broker, vhost: VHost, policy: Policy, *, is_operator: bool) -> None:
    """Add or replace a policy, and bring queues and exchanges into line."""
    if broker.vhosts.get(vhost.name) is not vhost:
        return
    await _in_steps(broker, vhost.policies.putting(policy, is_operator=is_operator))


@_in_turn
async def delete_policy(broker: Broker, vhost: VHost, name: str, *, is_operator: bool) -> None:
    """Delete a policy, and bring queues and exchanges into line."""
    policies = vhost.policies
    if name not in (policies.operator_policies if is_operator else policies.policies):
        return
    await _in_steps(broker, vhost.policies.deleting(name, is_operator=is_operator))


@_in_turn
async def put_global_parameter(broker: Broker, name: str, value: object) -> None:
    """Set a parameter of the whole broker; ``value`` is any JSON."""
    broker.global_parameters[name] = value
    if broker.store is not None:
        row = GlobalParameterRow(name, json.dumps(value))
        await broker.store.catalog.put_global_parameter(row).wait()


@_in_turn
async def delete_global_parameter(broker: Broker, name: str) -> None:
    """Delete a parameter of the whole broker."""
    broker.global_parameters.pop(name, None)
    if broker.store is not None:
        await broker.store.catalog.delete_global_parameter(name).wait()


@_in_turn
async def put_user(broker: Broker, user: User) -> None:
    """Add or replace a user."""
    broker.users.put_user(user)
    if broker.store is not None:
        broker.store.put_user(user)
    await _stored(broker)


@_in_turn
async def delete_user(broker: Broker, name: str) -> None:
    """Delete a user with all permissions; the user's connections are closed.

    Raises :class:`~amqpbroker.auth.exceptions.NoSuchUser`.
    """
    broker.users.delete_user(name)
    broker.rates.forget("user", name)
    for session in list(broker.sessions):
        if session.principal is not None and session.principal.username == name:
            session.force_close(f"user '{name}' is deleted")
    broker.permissions_changed()
    broker.flush()
    if broker.store is not None:
        await broker.store.catalog.delete_user(name).wait()


@_in_turn
async def permit(broker: Broker, username: str, vhost: str, permissions: Permissions) -> None:
    """Set what a user may do in a vhost.

    Raises :class:`~amqpbroker.auth.exceptions.UserError`: no such user, or no such pattern.
    """
    _permit(broker, username, vhost, permissions)
    await _stored(broker)


def _permit(broker: Broker, username: str, vhost: str, permissions: Permissions) -> None:
    if vhost not in broker.vhosts:
        return
    broker.users.set_permissions(username, vhost, permissions)
    broker.permissions_changed()
    if broker.store is not None:
        broker.store.put_permissions(username, vhost, permissions)


@_in_turn
async def forbid(broker: Broker, username: str, vhost: str) -> None:
    """Take a vhost from a user.

    Raises :class:`~amqpbroker.auth.exceptions.NoSuchUser`.
    """
    broker.users.clear_permissions(username, vhost)
    broker.permissions_changed()
    if broker.store is not None:
        await broker.store.catalog.delete_permission(username, vhost).wait()


@_in_turn
async def permit_topics(
    broker: Broker, username: str, vhost: str, exchange: str, permissions: TopicPermissions
) -> None:
    """Set which routing keys of a topic exchange a user may write and read.

    Raises :class:`~amqpbroker.auth.exceptions.UserError`: no such user, or no such pattern.
    """
    broker.users.set_topic_permissions(username, vhost, exchange, permissions)
    broker.permissions_changed()
    if broker.store is not None:
        row = TopicPermissionRow(username, vhost, exchange, *permissions)
        await broker.store.catalog.put_topic_permission(row).wait()


@_in_turn
async def forbid_topics(broker: Broker, username: str, vhost: str) -> None:
    """Lift all topic permissions of a user in a vhost.

    Raises :class:`~amqpbroker.auth.exceptions.NoSuchUser`.
    """
    exchanges = [key[2] for key in broker.users.topic_permissions if key[:2] == (username, vhost)]
    broker.users.clear_topic_permissions(username, vhost)
    broker.permissions_changed()
    if broker.store is not None:
        catalog = broker.store.catalog
        for ticket in [catalog.delete_topic_permission(username, vhost, x) for x in exchanges]:
            await ticket.wait()
