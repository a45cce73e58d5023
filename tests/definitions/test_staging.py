"""An import is on the disk and in force as a whole, or not at all, whatever clients do (A14)."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from amqpbroker.auth.backends.internal import InternalAuthority
from amqpbroker.auth.principal import Principal
from amqpbroker.definitions import DefinitionsError
from amqpbroker.management import accounts
from amqpbroker.management.direct import DirectSession
from amqpbroker.storage.catalog import CatalogError
from amqpbroker.wire.methods import (
    ExchangeDeclare,
    ExchangeDelete,
    QueueBind,
    QueueDeclare,
    QueueDelete,
)
from tests.definitions.document import imported, sample
from tests.definitions.place import Place

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from amqpbroker.broker.broker import Broker
    from amqpbroker.wire.codec import Method


def everything(broker: Broker) -> dict[str, Any]:
    vhosts = broker.vhosts.values()
    users = broker.users
    return {
        "accounts": (dict(users.users), dict(users.permissions), dict(users.topic_permissions)),
        "parameters": dict(broker.global_parameters),
        "vhosts": {v.name: (v.metadata, dict(v.limits)) for v in vhosts},
        "policies": {v.name: (v.policies.policies, v.policies.operator_policies) for v in vhosts},
        "exchanges": {(v.name, name) for v in vhosts for name in v.exchanges},
        "queues": {(v.name, q.name, q.id) for v in vhosts for q in v.queues.values()},
        "bindings": {(v.name, b) for v in vhosts for x in v.exchanges.values() for b in x.bindings},
    }


def document() -> dict[str, Any]:
    """Return what is new in the vhost / and in a new one."""
    made = sample()
    policy = {"name": "p", "pattern": "", "definition": {"max-length": 5}}
    made["policies"] = [{**policy, "vhost": "v"}, {**policy, "vhost": "/"}]
    made["global_parameters"] = [{"name": "cluster_name", "value": "c"}]
    made["queues"] += [{"name": f"q{n}", "vhost": "/", "durable": True} for n in range(300)]
    made["exchanges"].append({"name": "y", "vhost": "/", "type": "direct", "durable": True})
    ends = {"source": "y", "destination_type": "queue", "vhost": "/", "routing_key": ""}
    made["bindings"] += [{**ends, "destination": f"q{n}"} for n in range(300)]
    return made


async def ask(broker: Broker, *methods: Method) -> None:
    """Do what a client asks for in the vhost /, one after the other."""
    for method in methods:
        guest = Principal("guest", (), (InternalAuthority(broker.users, "guest"),))
        session = DirectSession(broker, guest, broker.vhosts["/"])
        await session.ask(method)
        session.finish()


QUEUE = QueueDeclare(0, "q7", False, True, False, False, False, {})
EXCHANGE = ExchangeDeclare(0, "y", "direct", False, True, False, False, False, {})
BIND = QueueBind(0, "q7", "y", "", False, {})


@pytest.mark.parametrize(
    "code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT]
)
async def test_a_failing_disk_changes_nothing(code: int) -> None:
    place = Place()
    async with place.running() as broker:
        before = everything(broker)
        place.database.errors.append(code)
        with pytest.raises(CatalogError, match="told to fail"):
            await imported(broker, document())
        assert everything(broker) == before
        await ask(broker, QUEUE)
        await imported(broker, document())
        after = everything(broker)
        assert after != before
    async with place.running() as broker:
        assert everything(broker) == after


async def test_all_of_it_is_one_commit_and_there_after_a_restart() -> None:
    place = Place()
    async with place.running() as broker:
        count = place.database.commit_count
        await imported(broker, document())
        assert place.database.commit_count == count + 1
        after = everything(broker)
    async with place.running() as broker:
        assert everything(broker) == after


async def test_nothing_is_seen_before_the_commit_and_a_new_vhost_at_the_end() -> None:
    place = Place()
    async with place.running() as broker:
        before = everything(broker)
        seen: list[tuple[int, bool]] = []

        async def look() -> None:
            assert everything(broker) == before

        async def watch() -> None:
            while True:
                seen.append((len(broker.vhosts["/"].queues), "v" in broker.vhosts))
                await checkpoint()

        place.database.before_commit = look
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            await imported(broker, document())
            tasks.cancel_scope.cancel()
        place.database.before_commit = nothing
        assert "v" in broker.vhosts
        assert {is_there for count, is_there in seen if count < 300} == {False}
        assert any(0 < count < 300 for count, _ in seen)


async def during_commit(
    place: Place, broker: Broker, *changes: Callable[[], Awaitable[None]]
) -> None:
    """Import, and have clients begin changes while it is committed; return when all is done."""
    done: list[int] = []

    async def change(number: int, what: Callable[[], Awaitable[None]]) -> None:
        await what()
        done.append(number)

    async with anyio.create_task_group() as tasks:

        async def begin() -> None:
            if not tasks.cancel_scope.cancel_called and not done:
                place.database.before_commit = nothing
                for number, what in enumerate(changes):
                    tasks.start_soon(change, number, what)
                await anyio.wait_all_tasks_blocked()

        place.database.before_commit = begin
        await imported(broker, document())
    assert len(done) == len(changes)


async def nothing() -> None:
    pass


async def test_who_makes_the_same_meanwhile_finds_it_there() -> None:
    place = Place()
    async with place.running() as broker:
        await during_commit(
            place,
            broker,
            lambda: ask(broker, QUEUE),
            lambda: ask(broker, EXCHANGE),
            lambda: ask(broker, BIND),
            lambda: ask(broker, QueueDeclare(0, "mine", False, True, False, False, False, {})),
        )
        after = everything(broker)
        assert len(broker.vhosts["/"].exchanges["y"].bindings) == 300
        assert "mine" in broker.vhosts["/"].queues
    async with place.running() as broker:
        assert everything(broker) == after


async def test_what_is_deleted_meanwhile_is_gone_on_the_disk_too() -> None:
    place = Place()
    async with place.running() as broker:
        await ask(broker, QUEUE, EXCHANGE)
        await during_commit(
            place,
            broker,
            lambda: ask(broker, QueueDelete(0, "q7", False, False, False), QUEUE),
        )
        after = everything(broker)
        assert len(broker.vhosts["/"].exchanges["y"].bindings) == 299
        assert "q7" in broker.vhosts["/"].queues
    async with place.running() as broker:
        assert everything(broker) == after


async def test_a_source_that_is_deleted_meanwhile_takes_its_bindings_along() -> None:
    place = Place()
    async with place.running() as broker:
        await ask(broker, EXCHANGE)
        await during_commit(
            place, broker, lambda: ask(broker, ExchangeDelete(0, "y", False, False))
        )
        after = everything(broker)
        assert "y" not in broker.vhosts["/"].exchanges
        assert len(broker.vhosts["/"].queues) == 300
    async with place.running() as broker:
        assert everything(broker) == after


async def test_changes_of_accounts_wait_and_come_after() -> None:
    place = Place()
    async with place.running() as broker:
        vhost = broker.vhosts["/"]
        await during_commit(
            place,
            broker,
            lambda: accounts.delete_policy(broker, vhost, "p", is_operator=False),
            lambda: accounts.put_global_parameter(broker, "cluster_name", "mine"),
            lambda: accounts.set_vhost_limits(broker, vhost, {"max-queues": 500}),
            lambda: accounts.add_vhost(broker, "v", "guest"),
        )
        after = everything(broker)
        assert "p" not in vhost.policies.policies
        assert broker.global_parameters == {"cluster_name": "mine"}
        assert vhost.limits == {"max-queues": 500}
        assert "q" in broker.vhosts["v"].queues
    async with place.running() as broker:
        assert everything(broker) == after


async def test_two_imports_of_the_same_come_one_after_the_other() -> None:
    place = Place()
    async with place.running() as broker:
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(imported, broker, document())
        after = everything(broker)
    async with place.running() as broker:
        assert everything(broker) == after


async def test_a_mistake_writes_nothing() -> None:
    place = Place()
    async with place.running() as broker:
        count = place.database.commit_count
        with pytest.raises(DefinitionsError):
            await imported(broker, {**document(), "bindings": [{"source": "none"}]})
        assert place.database.commit_count == count
