"""What was committed is there, whoever asks; faults come when they are ordered."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from amqpbroker.storage.catalog import CatalogError, ChangeRefused, tables
from amqpbroker.storage.catalog.group import Change
from amqpbroker.testing.database import MemoryDatabase
from tests.storage.catalog.samples import QUEUE, VHOST

if TYPE_CHECKING:
    from collections.abc import Iterator

PUT_VHOST = Change(tables.VHOSTS.put, VHOST)
PUT_QUEUE = Change(tables.QUEUES.put, QUEUE)


@pytest.fixture
def database() -> Iterator[MemoryDatabase]:
    database = MemoryDatabase()
    yield database
    database.discard()


async def names(database: MemoryDatabase, table: tables.Table) -> list[object]:
    return [row for values in [v async for v in database.select(table.select)] for row in values]


async def test_what_is_committed_stays(database: MemoryDatabase) -> None:
    assert await database.apply([PUT_VHOST, PUT_QUEUE]) == {}
    await database.close()
    database.restart(is_kept=False)
    assert len(await names(database, tables.QUEUES)) == 1
    assert database.commit_count == 1


async def test_constraints_are_those_of_the_catalog(database: MemoryDatabase) -> None:
    refused = await database.apply([PUT_QUEUE, PUT_VHOST])
    assert [type(error) for error in refused.values()] == [ChangeRefused]
    assert await names(database, tables.QUEUES) == []
    assert len(await names(database, tables.VHOSTS)) == 1


async def test_a_commit_fails_when_told_to(database: MemoryDatabase) -> None:
    database.errors.extend([0, sqlite3.SQLITE_FULL])
    await database.apply([PUT_VHOST])
    with pytest.raises(CatalogError, match="the disk is full"):
        await database.apply([PUT_QUEUE])
    database.restart(is_kept=True)
    assert await names(database, tables.QUEUES) == []


@pytest.mark.parametrize("is_kept", [False, True])
async def test_a_restart_decides_what_a_failed_fsync_did(
    database: MemoryDatabase, is_kept: bool
) -> None:
    database.errors.append(sqlite3.SQLITE_IOERR)
    with pytest.raises(CatalogError):
        await database.apply([PUT_VHOST])
    assert await names(database, tables.VHOSTS) == []
    database.restart(is_kept=is_kept)
    assert len(await names(database, tables.VHOSTS)) == is_kept


async def test_one_that_was_tried_again_is_not_in_doubt(database: MemoryDatabase) -> None:
    database.errors.append(sqlite3.SQLITE_IOERR)
    with pytest.raises(CatalogError):
        await database.apply([PUT_VHOST])
    await database.apply([PUT_VHOST])
    await database.apply([Change(tables.VHOSTS.delete, (VHOST.name,))])
    database.restart(is_kept=True)
    assert await names(database, tables.VHOSTS) == []


async def test_two_databases_have_nothing_in_common(database: MemoryDatabase) -> None:
    await database.apply([PUT_VHOST])
    other = MemoryDatabase()
    assert await names(other, tables.VHOSTS) == []
    other.discard()


async def test_hooks_stand_before_and_behind_a_commit(database: MemoryDatabase) -> None:
    seen = []

    async def look() -> None:
        seen.append(len(await names(database, tables.VHOSTS)))

    database.before_commit = database.after_commit = look
    await database.apply([PUT_VHOST])
    assert seen == [0, 1]
