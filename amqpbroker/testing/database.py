"""The catalog's database in memory, with faults: it keeps what was committed and nothing else.

It is SQLite all the same, with the real schema and its constraints, but without a file and without
a thread. It outlives the brokers that use it, one after the other::

    database = MemoryDatabase()
    database.errors.append(sqlite3.SQLITE_FULL)     # the next commit fails
    database.restart(is_kept=False)                 # what was in doubt, and nobody waits any more
"""

from __future__ import annotations

import sqlite3
from collections import deque
from functools import cache
from typing import TYPE_CHECKING, Any

from amqpbroker.storage.catalog.database import REFUSALS, GroupConnection, connect
from amqpbroker.storage.catalog.exceptions import CatalogError, ChangeRefused, explain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from amqpbroker.storage.catalog.group import Change

PLACE = "in memory"


async def _at_once() -> None:
    """Take no time."""


@cache
def _empty_catalog() -> bytes:
    """Return a database with the schema: a copy takes a tenth of the time."""
    connection = connect(None)
    try:
        return connection.serialize()
    finally:
        connection.close()


class MemoryDatabase:
    """See `storage.catalog.database.Database`; ``close`` lets go of nothing."""

    def __init__(self) -> None:
        self._connection = GroupConnection(":memory:", isolation_level=None)
        self._connection.deserialize(_empty_catalog())
        self._connection.execute("PRAGMA foreign_keys = ON")
        self._doubtful: Sequence[Change] = ()
        """A transaction that failed, of which a restart may find that it was stored."""
        self.commit_count = 0
        self.errors: deque[int] = deque()
        """Codes of SQLite for the commits to come, 0 for one that succeeds."""
        self.before_commit: Callable[[], Awaitable[None]] = _at_once
        self.after_commit: Callable[[], Awaitable[None]] = _at_once

    async def apply(
        self, changes: Sequence[Change], *, is_whole: bool = False
    ) -> Mapping[int, CatalogError]:
        """See `Database.apply`."""
        await self.before_commit()
        self.commit_count += 1
        code = self.errors.popleft() if self.errors else 0
        if code:
            self._doubtful = changes if code == sqlite3.SQLITE_IOERR else ()
            error = sqlite3.OperationalError("told to fail")
            error.sqlite_errorcode = code
            raise explain(error, PLACE) from error
        refused = self._commit(changes, is_whole=is_whole)
        await self.after_commit()
        return refused

    def _commit(
        self, changes: Sequence[Change], *, is_whole: bool = False
    ) -> Mapping[int, CatalogError]:
        self._doubtful = ()
        self._connection.group = changes
        self._connection.is_whole = is_whole
        try:
            self._connection.commit()
        except REFUSALS as error:
            raise ChangeRefused(f"catalog {PLACE}: refused: {error}") from error
        return {
            index: ChangeRefused(f"catalog {PLACE}: refused: {reason}")
            for index, reason in self._connection.refused.items()
        }

    async def select(self, sql: str) -> AsyncIterator[Sequence[tuple[Any, ...]]]:
        """See `Database.select`."""
        found = self._connection.execute(sql).fetchall()
        if found:
            yield found

    async def close(self) -> None:
        """See `Database.close`; it can be used again."""

    def restart(self, *, is_kept: bool) -> None:
        """Begin again after a crash; a commit whose fsync failed ``is_kept`` or lost."""
        self.errors.clear()
        doubtful, self._doubtful = self._doubtful, ()
        if is_kept and doubtful:
            self._commit(doubtful)

    def discard(self) -> None:
        """Free the memory; it cannot be used any more."""
        self._connection.close()
