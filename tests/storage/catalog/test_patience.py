"""A full disk is waited for while the broker runs; damage is not, nor when it starts or stops."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from anyio.lowlevel import checkpoint

from amqpbroker.storage.catalog import Catalog, CatalogError
from amqpbroker.storage.catalog.exceptions import explain
from amqpbroker.storage.catalog.patience import RETRY_DELAY_S, PatientDatabase
from tests.storage.catalog.samples import VHOST, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from amqpbroker.storage.catalog.group import Change


def failure(code: int) -> CatalogError:
    """Return what the database raises for a result code of SQLite."""
    cause = sqlite3.OperationalError("it failed")
    cause.sqlite_errorcode = code
    error = explain(cause, "catalog.sqlite")
    error.__cause__ = cause
    return error


FULL = failure(sqlite3.SQLITE_FULL)


class FailingDatabase:
    """Raises what the test put into ``errors``, then stores."""

    def __init__(self) -> None:
        self.errors: list[CatalogError] = []
        self.stored: list[Change] = []
        self.is_closed = False

    async def apply(
        self, changes: Sequence[Change], *, is_whole: bool = False
    ) -> Mapping[int, CatalogError]:
        await checkpoint()
        if self.errors:
            raise self.errors.pop(0)
        self.stored += changes
        return {}

    async def select(self, _sql: str) -> AsyncIterator[Sequence[tuple[Any, ...]]]:
        yield [("queue_id", 7)]

    async def close(self) -> None:
        self.is_closed = True


class Patient(PatientDatabase):
    """Notes how it waits and what it tells."""

    def __init__(self) -> None:
        self.inner = FailingDatabase()
        super().__init__(self.inner, sleep=self._note)
        self.notes: list[float | bool] = []
        self.on_short = self.notes.append
        self.is_patient = True

    async def _note(self, delay_s: float) -> None:
        self.notes.append(delay_s)
        await checkpoint()


@pytest.mark.parametrize(
    "code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR | 5 << 8, sqlite3.SQLITE_READONLY]
)
async def test_what_may_pass_is_waited_for(code: int, caplog: pytest.LogCaptureFixture) -> None:
    patient = Patient()
    patient.inner.errors = [failure(code), failure(code)]
    assert await patient.apply([]) == {}
    assert patient.notes == [True, RETRY_DELAY_S, RETRY_DELAY_S, False]
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


async def test_nobody_is_told_where_nothing_fails() -> None:
    patient = Patient()
    await patient.apply([])
    assert patient.notes == []


async def test_damage_is_not_waited_for() -> None:
    patient = Patient()
    patient.inner.errors = [failure(sqlite3.SQLITE_CORRUPT)]
    with pytest.raises(CatalogError, match="it is damaged"):
        await patient.apply([])
    assert patient.notes == []


async def test_an_error_of_unknown_cause_is_not_waited_for() -> None:
    patient = Patient()
    patient.inner.errors = [CatalogError("what?")]
    with pytest.raises(CatalogError, match=r"what\?"):
        await patient.apply([])


async def test_the_end_is_not_held_up() -> None:
    patient = Patient()
    patient.inner.errors = [FULL] * 3

    async def stop(_delay_s: float) -> None:
        patient.is_patient = False

    patient._sleep = stop
    with pytest.raises(CatalogError, match="the disk is full"):
        await patient.apply([])


async def test_changes_keep_their_order_and_tickets_wait() -> None:
    patient = Patient()
    patient.is_patient = False
    async with running(await Catalog.open_database(patient)) as catalog:
        patient.is_patient = True
        patient.inner.stored.clear()
        patient.inner.errors = [FULL] * 3
        first = catalog.put_vhost(VHOST)
        await checkpoint()
        second = catalog.delete_vhost(VHOST.name)
        await second.wait()
        assert first.is_done
        assert [len(change.parameters) for change in patient.inner.stored] == [4, 1]
    assert patient.inner.is_closed


async def test_reading_is_left_alone() -> None:
    assert [rows async for rows in Patient().select("x")] == [[("queue_id", 7)]]
