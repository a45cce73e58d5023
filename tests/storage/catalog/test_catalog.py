"""The catalog: staged at once, committed in groups, and nobody pays for another's failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from anyio import Event, create_task_group, fail_after, get_cancelled_exc_class
from anyio.lowlevel import checkpoint

from amqpbroker.storage.catalog import Catalog, CatalogError, ChangeRefused
from amqpbroker.storage.catalog import catalog as module
from amqpbroker.storage.catalog.rows import QueueRow
from tests.storage.catalog.samples import (
    EMPTY,
    FULL,
    USER,
    VHOST,
    FaultyDatabase,
    opened,
    put_all,
    queue,
    running,
    stored,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from amqpbroker.storage.catalog import Ticket
    from amqpbroker.storage.catalog.group import Change


async def names(catalog: Catalog) -> list[str]:
    return [row.name for row in (await catalog.load()).queues]


async def test_nothing_is_stored_before_it_is_committed() -> None:
    async with await Catalog.open(None) as catalog:
        ticket = put_all(catalog)
        assert await catalog.load() == EMPTY
        assert not ticket.is_done


async def test_concurrent_declares_share_commits() -> None:
    database = await FaultyDatabase.in_memory()
    async with running(await Catalog.open_database(database)) as catalog:
        await catalog.put_vhost(VHOST).wait()
        database.sizes.clear()

        async def declare(number: int) -> None:
            await catalog.put_queue(queue(catalog, f"{number}")).wait()

        async with create_task_group() as clients:
            for number in range(1000):
                clients.start_soon(declare, number)
        assert sum(database.sizes) == 1000
        assert len(database.sizes) <= 3
        assert len(await names(catalog)) == 1000


async def test_a_group_has_its_limit_and_order_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GROUP_SIZE_MAX", 10)
    database = await FaultyDatabase.in_memory()
    async with running(await Catalog.open_database(database)) as catalog:
        catalog.put_vhost(VHOST)
        for number in range(35):
            ticket = catalog.put_queue(queue(catalog, "q"))
            if number < 34:
                ticket = catalog.delete_queue(number + 1)
        await ticket.wait()
        assert max(database.sizes) == 10
        assert (await catalog.load()).queues == [QueueRow(35, "/", "q", False, b"")]


async def test_a_failed_transaction_fails_its_tickets_and_no_others() -> None:
    database = await FaultyDatabase.in_memory()
    async with running(await Catalog.open_database(database)) as catalog:
        await catalog.put_vhost(VHOST).wait()
        database.errors.append(CatalogError("the disk is full"))
        failing = [catalog.put_queue(queue(catalog, name)) for name in "ab"]
        for ticket in failing:
            with pytest.raises(CatalogError, match="the disk is full"):
                await ticket.wait()
        await catalog.put_queue(queue(catalog, "c")).wait()
        assert await names(catalog) == ["c"]


async def test_a_full_disk_is_logged_once_and_its_end_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "amqpbroker.storage")
    database = await FaultyDatabase.in_memory()
    async with running(await Catalog.open_database(database)) as catalog:
        database.errors.extend([CatalogError("the disk is full")] * 3)
        for _ in range(3):
            with pytest.raises(CatalogError):
                await catalog.put_vhost(VHOST).wait()
        for _ in range(2):
            await catalog.put_vhost(VHOST).wait()
    assert caplog.messages == [
        "the disk is full; until then nothing can be declared or deleted",
        "the catalog can be written again",
    ]


async def test_what_needs_a_failed_change_is_refused() -> None:
    database = await FaultyDatabase.in_memory()
    async with running(await Catalog.open_database(database)) as catalog:
        database.errors.append(CatalogError("the disk is full"))
        with pytest.raises(CatalogError, match="full"):
            await catalog.put_vhost(VHOST).wait()
        with pytest.raises(ChangeRefused):
            await catalog.put_queue(queue(catalog, "q")).wait()


async def test_ids_run_out_only_while_nothing_can_be_committed() -> None:
    database = await FaultyDatabase.in_memory()
    async with running(await Catalog.open_database(database)) as catalog:
        ids = catalog._queue_ids
        ids.last = ids.limit - 1
        database.errors.append(CatalogError("the disk is full"))
        last = catalog.next_queue_id()
        ticket = catalog.put_vhost(VHOST)
        with pytest.raises(CatalogError, match="until the catalog can be written"):
            catalog.next_queue_id()
        with pytest.raises(CatalogError, match="full"):
            await ticket.wait()
        with pytest.raises(CatalogError, match="until the catalog can be written"):
            catalog.next_queue_id()
        await catalog.put_vhost(VHOST).wait()
        assert catalog.next_queue_id() == last + 1


async def test_giving_up_waiting_does_not_undo() -> None:
    async with opened() as catalog:
        async with create_task_group() as tasks:
            tasks.start_soon(put_all(catalog).wait)
            tasks.cancel_scope.cancel()
        await catalog.put_vhost(VHOST).wait()
        assert await catalog.load() == FULL


async def test_a_cancelled_run_finishes_the_transaction_and_close_the_rest(tmp_path: Path) -> None:
    catalog = await Catalog.open(tmp_path / "c")
    async with create_task_group() as tasks:
        tasks.start_soon(catalog.run)
        await checkpoint()
        tickets: list[Ticket] = [catalog.put_vhost(VHOST)]
        await checkpoint()
        tickets.append(catalog.put_queue(queue(catalog, "q")))
        tasks.cancel_scope.cancel()
    await catalog.close()
    for ticket in tickets:
        await ticket.wait()
    assert [row.name for row in (await stored(tmp_path / "c")).queues] == ["q"]


async def test_closing_commits_what_is_staged(tmp_path: Path) -> None:
    async with await Catalog.open(tmp_path / "c") as catalog:
        ticket = put_all(catalog)
    assert ticket.is_done
    assert await stored(tmp_path / "c") == FULL


async def test_a_cancelled_task_closes_all_the_same(tmp_path: Path) -> None:
    is_open = Event()

    async def broker() -> None:
        async with await Catalog.open(tmp_path / "c") as catalog:
            put_all(catalog)
            is_open.set()
            with pytest.raises(get_cancelled_exc_class()):
                await Event().wait()
            await checkpoint()

    async with create_task_group() as tasks:
        tasks.start_soon(broker)
        await is_open.wait()
        tasks.cancel_scope.cancel()
    assert await stored(tmp_path / "c") == FULL


async def test_a_closed_catalog_refuses_changes_and_closes_again() -> None:
    async with opened() as catalog:
        pass
    with pytest.raises(CatalogError, match="closed"):
        catalog.put_vhost(VHOST)
    with pytest.raises(CatalogError, match="closed"):
        catalog.next_queue_id()
    await catalog.close()


async def test_closing_on_a_full_disk_lets_go_of_the_file_and_tells_the_tickets() -> None:
    database = await FaultyDatabase.in_memory()
    catalog = await Catalog.open_database(database)
    ticket = catalog.put_vhost(VHOST)
    database.errors.append(CatalogError("the disk is full"))
    await catalog.close()
    with pytest.raises(CatalogError, match="full"):
        await ticket.wait()


async def test_an_unforeseen_error_ends_run_and_no_ticket_waits_for_ever() -> None:
    database = await FaultyDatabase.in_memory()
    catalog = await Catalog.open_database(database)
    database.errors.append(ZeroDivisionError("unforeseen"))
    ticket = catalog.put_vhost(VHOST)
    with pytest.raises(ZeroDivisionError):
        await catalog.run()
    with fail_after(5), pytest.raises(CatalogError, match="unforeseen"):
        await ticket.wait()
    await catalog.close()


async def test_an_unforeseen_error_is_told_to_who_comes_later_too() -> None:
    database = await FaultyDatabase.in_memory()
    catalog = await Catalog.open_database(database)
    later: list[Ticket] = []

    async def stage_and_fail(
        changes: Sequence[Change], *, is_whole: bool = False
    ) -> Mapping[int, CatalogError]:
        later.append(catalog.put_user(USER))
        raise ZeroDivisionError(f"unforeseen, {len(changes)} changes, {is_whole}")

    database.apply = stage_and_fail  # type: ignore[method-assign]
    catalog.put_vhost(VHOST)
    with pytest.raises(ZeroDivisionError):
        await catalog.run()
    with fail_after(5), pytest.raises(CatalogError, match="unforeseen"):
        await later[0].wait()
    with pytest.raises(CatalogError, match="unforeseen"):
        catalog.put_user(USER)
    with pytest.raises(CatalogError, match="unforeseen"):
        catalog.next_queue_id()
    await catalog.close()


async def test_an_unforeseen_error_while_closing_lets_go_of_the_file_all_the_same() -> None:
    database = await FaultyDatabase.in_memory()
    catalog = await Catalog.open_database(database)
    database.errors.append(ZeroDivisionError("unforeseen"))
    with pytest.raises(ZeroDivisionError):
        await catalog.close()
    with pytest.raises(ValueError, match="no active connection"):
        await database.apply([])


async def test_an_opening_that_fails_closes_the_database() -> None:
    database = await FaultyDatabase.in_memory()
    database.errors.append(CatalogError("the disk is full"))
    with pytest.raises(CatalogError, match="the disk is full"):
        await Catalog.open_database(database)
    with pytest.raises(ValueError, match="no active connection"):
        await database.apply([])
