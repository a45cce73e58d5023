"""Putting replaces, deleting takes along what depends on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpbroker.storage.catalog import ChangeRefused
from tests.storage.catalog import samples
from tests.storage.catalog.samples import EMPTY, FULL, opened, put_all, queue

if TYPE_CHECKING:
    from collections.abc import Callable

    from amqpbroker.storage.catalog import Catalog, Ticket
    from amqpbroker.storage.catalog.rows import Snapshot


@pytest.mark.parametrize(
    ("delete", "left"),
    [
        (
            lambda catalog: catalog.delete_vhost("/"),
            EMPTY._replace(users=FULL.users, global_parameters=FULL.global_parameters),
        ),
        (
            lambda catalog: catalog.delete_user("guest"),
            FULL._replace(users=[], permissions=[], topic_permissions=[]),
        ),
        (lambda catalog: catalog.delete_permission("guest", "/"), FULL._replace(permissions=[])),
        (
            lambda catalog: catalog.delete_topic_permission("guest", "/", "amq.topic"),
            FULL._replace(topic_permissions=[]),
        ),
        (
            lambda catalog: catalog.delete_exchange("/", "e"),
            FULL._replace(exchanges=[samples.SOURCE], bindings=[samples.TO_QUEUE]),
        ),
        (
            lambda catalog: catalog.delete_exchange("/", "amq.topic"),
            FULL._replace(exchanges=[samples.EXCHANGE], bindings=[]),
        ),
        (
            lambda catalog: catalog.delete_queue(1),
            FULL._replace(queues=[], bindings=[samples.TO_EXCHANGE]),
        ),
        (
            lambda catalog: catalog.delete_binding(samples.TO_QUEUE),
            FULL._replace(bindings=[samples.TO_EXCHANGE]),
        ),
        (
            lambda catalog: catalog.delete_binding(samples.TO_EXCHANGE),
            FULL._replace(bindings=[samples.TO_QUEUE]),
        ),
        (lambda catalog: catalog.delete_policy("/", "p"), FULL._replace(policies=[])),
        (
            lambda catalog: catalog.delete_parameter("/", "shovel", "s"),
            FULL._replace(parameters=[]),
        ),
        (
            lambda catalog: catalog.delete_global_parameter("cluster_name"),
            FULL._replace(global_parameters=[]),
        ),
    ],
)
async def test_deleting(delete: Callable[[Catalog], Ticket], left: Snapshot) -> None:
    async with opened() as catalog:
        put_all(catalog)
        await delete(catalog).wait()
        assert await catalog.load() == left
        await delete(catalog).wait()
        assert await catalog.load() == left


async def test_putting_again_changes_nothing() -> None:
    async with opened() as catalog:
        put_all(catalog)
        await put_all(catalog).wait()
        assert await catalog.load() == FULL


async def test_putting_replaces_and_keeps_what_depends_on_it() -> None:
    vhost = samples.VHOST._replace(is_tracing=True)
    exchange = samples.SOURCE._replace(arguments=b"new")
    user = samples.USER._replace(password_hash=None)
    async with opened() as catalog:
        put_all(catalog)
        catalog.put_vhost(vhost)
        catalog.put_user(user)
        await catalog.put_exchange(exchange).wait()
        changed = FULL._replace(
            vhosts=[vhost], users=[user], exchanges=[exchange, samples.EXCHANGE]
        )
        assert await catalog.load() == changed


@pytest.mark.parametrize(
    "put",
    [
        lambda catalog: catalog.put_queue(queue(catalog, "x", "elsewhere")),
        lambda catalog: catalog.put_queue(queue(catalog, "q")),
        lambda catalog: catalog.put_binding(samples.TO_QUEUE._replace(destination="x")),
        lambda catalog: catalog.put_binding(samples.TO_QUEUE._replace(source="x")),
        lambda catalog: catalog.put_binding(samples.TO_EXCHANGE._replace(destination="q")),
        lambda catalog: catalog.put_permission(samples.PERMISSION._replace(username="x")),
        lambda catalog: catalog.put_queue(samples.QUEUE._replace(id=1 << 64)),
    ],
    ids=["vhost", "name", "queue", "source", "exchange", "user", "number"],
)
async def test_what_contradicts_is_refused(put: Callable[[Catalog], Ticket]) -> None:
    async with opened() as catalog:
        put_all(catalog)
        catalog.next_queue_id()
        with pytest.raises(ChangeRefused, match="refused"):
            await put(catalog).wait()
        assert await catalog.load() == FULL


async def test_a_name_is_free_again_at_once() -> None:
    async with opened() as catalog:
        put_all(catalog)
        catalog.next_queue_id()
        catalog.delete_queue(1)
        await catalog.put_queue(queue(catalog, "q")).wait()
        snapshot = await catalog.load()
        assert [row.id for row in snapshot.queues] == [2]
        assert snapshot.bindings == [samples.TO_EXCHANGE]
