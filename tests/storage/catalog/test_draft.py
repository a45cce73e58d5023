"""A draft is committed as a whole or not at all, and others go on meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from anyio import Event, create_task_group
from anyio.lowlevel import checkpoint

from amqpbroker.storage.catalog import Catalog, CatalogError, ChangeRefused, Draft
from amqpbroker.storage.catalog.rows import BindingRow
from tests.storage.catalog.samples import (
    EXCHANGE,
    QUEUE,
    SOURCE,
    TO_EXCHANGE,
    TO_QUEUE,
    USER,
    VHOST,
    FaultyDatabase,
    opened,
    queue,
    running,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from amqpbroker.storage.catalog.group import Change


async def names(catalog: Catalog) -> set[str]:
    return {row.name for row in (await catalog.load()).queues}


async def test_it_is_one_transaction_whatever_its_size() -> None:
    database = await FaultyDatabase.in_memory()
    async with running(await Catalog.open_database(database)) as catalog:
        draft = Draft(catalog)
        draft.put_vhost(VHOST)
        for number in range(25_000):
            draft.put_queue(queue(catalog, f"{number}"))
        database.sizes.clear()
        await checkpoint()
        assert await names(catalog) == set()
        await draft.commit()
        assert database.sizes == [25_001]
        assert len(await names(catalog)) == 25_000


async def test_nobody_else_is_in_it() -> None:
    database = await FaultyDatabase.in_memory()
    async with running(await Catalog.open_database(database)) as catalog:
        await catalog.put_vhost(VHOST).wait()
        draft = Draft(catalog)
        draft.put_queue(queue(catalog, "drafted"))
        database.sizes.clear()
        async with create_task_group() as tasks:
            catalog.put_queue(queue(catalog, "before"))
            tasks.start_soon(draft.commit)
            await checkpoint()
            await catalog.put_queue(queue(catalog, "behind")).wait()
        assert database.sizes == [1, 1, 1]
        assert await names(catalog) == {"before", "drafted", "behind"}


async def test_one_refused_change_refuses_all() -> None:
    async with opened() as catalog:
        await catalog.put_vhost(VHOST).wait()
        await catalog.put_queue(queue(catalog, QUEUE.name)).wait()
        draft = Draft(catalog)
        draft.put_queue(queue(catalog, "a"))
        draft.put_queue(queue(catalog, QUEUE.name))
        with pytest.raises(ChangeRefused, match="UNIQUE"):
            await draft.commit()
        assert await names(catalog) == {QUEUE.name}
        await catalog.put_queue(queue(catalog, "b")).wait()


async def test_a_failing_disk_leaves_nothing_of_it() -> None:
    database = await FaultyDatabase.in_memory()
    async with running(await Catalog.open_database(database)) as catalog:
        draft = Draft(catalog)
        draft.put_vhost(VHOST)
        database.errors.append(CatalogError("the disk is full"))
        with pytest.raises(CatalogError, match="the disk is full"):
            await draft.commit()
        assert (await catalog.load()).vhosts == []
        await catalog.put_user(USER).wait()


async def test_a_binding_whose_end_is_gone_by_then_is_left_out() -> None:
    async with opened() as catalog:
        for staged in (
            catalog.put_vhost(VHOST),
            catalog.put_exchange(SOURCE),
            catalog.put_exchange(EXCHANGE),
            catalog.put_queue(queue(catalog, QUEUE.name)),
        ):
            await staged.wait()
        draft = Draft(catalog)
        draft.put_queue(queue(catalog, "new"))
        kept = BindingRow("/", "amq.topic", "queue", "new", "k", b"")
        for row in (TO_QUEUE, TO_EXCHANGE, kept, kept):
            draft.put_binding(row)
        catalog.delete_queue(QUEUE.id)
        catalog.delete_exchange("/", EXCHANGE.name)
        await draft.commit()
        assert (await catalog.load()).bindings == [kept]


async def test_bindings_whose_ends_are_there_are_stored() -> None:
    async with opened() as catalog:
        draft = Draft(catalog)
        draft.put_vhost(VHOST)
        draft.put_exchange(SOURCE)
        draft.put_exchange(EXCHANGE)
        draft.put_queue(QUEUE)
        draft.put_binding(TO_QUEUE)
        draft.put_binding(TO_EXCHANGE)
        await draft.commit()
        assert (await catalog.load()).bindings == [TO_QUEUE, TO_EXCHANGE]


async def test_cancelled_before_its_turn_it_is_withdrawn() -> None:
    async with await Catalog.open(None) as catalog:
        draft = Draft(catalog)
        draft.put_vhost(VHOST)
        async with create_task_group() as tasks:
            tasks.start_soon(draft.commit)
            await checkpoint()
            tasks.cancel_scope.cancel()
        await catalog.close()
        assert not draft._group.is_done


class HeldDatabase(FaultyDatabase):
    """Has a transaction wait until the test says so."""

    began: Event
    may_end: Event

    async def apply(
        self, changes: Sequence[Change], *, is_whole: bool = False
    ) -> Mapping[int, CatalogError]:
        if is_whole:
            self.began.set()
            await self.may_end.wait()
        return await super().apply(changes, is_whole=is_whole)


async def test_cancelled_in_its_turn_it_waits_for_the_outcome() -> None:
    database = await HeldDatabase.in_memory()
    assert isinstance(database, HeldDatabase)
    database.began, database.may_end = Event(), Event()
    outcome: list[bool] = []
    async with running(await Catalog.open_database(database)) as catalog:
        draft = Draft(catalog)
        draft.put_vhost(VHOST)

        async def commit() -> None:
            await draft._catalog.commit_whole(draft._group)
            outcome.append(draft._group.is_done)

        async with create_task_group() as tasks:
            tasks.start_soon(commit)
            await database.began.wait()
            tasks.cancel_scope.cancel()
            database.may_end.set()
        assert outcome == [True]
        assert (await catalog.load()).vhosts == [VHOST]


async def test_an_empty_one_costs_nothing() -> None:
    database = await FaultyDatabase.in_memory()
    async with running(await Catalog.open_database(database)) as catalog:
        database.sizes.clear()
        await Draft(catalog).commit()
        assert database.sizes == []
        assert len(Draft(catalog)) == 0
