"""SQLite behind the catalog: one file, one connection, one thread (aiosqlite's).

What a commit costs is the fsync of the write-ahead log, so that is what the settings are about:

- ``synchronous=FULL``: a commit returns when the WAL is on the disk. Nothing less is durable.
- The WAL file is made long before it is used and is then overwritten from its start again and
  again. Writing into a file that grows makes the file system commit its own journal as well, which
  takes several times as long.
- ``locking_mode=EXCLUSIVE``: no other process may look in, so the index of the WAL needs no shared
  file, and transactions no locks. A second broker on the same file is told so.

Prepared once, statements run in groups: a group is one transaction and one visit to the thread.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from contextlib import suppress
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, Protocol
from weakref import WeakSet

import aiosqlite
from anyio import to_thread

from amqpbroker.storage.catalog.exceptions import CatalogError, ChangeRefused, damaged, explain
from amqpbroker.storage.catalog.schema import check_version, migrate
from amqpbroker.storage.disk import DirectoryDisk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from amqpbroker.storage.catalog.group import Change

BUSY_TIMEOUT_S: Final = 2.0
"""How long to wait for another process to let go of the file."""

FETCHED_MAX: Final = 10_000
"""Rows fetched at a time."""

WAL_PAGES: Final = 1000
"""Pages (4 KiB) of the WAL before they are copied into the database and it starts over."""

WAL_SIZE_MAX: Final = 16 << 20
"""Bytes of the WAL that stay allocated after a very large transaction."""

CACHE_SIZE_MAX: Final = 64 << 20
"""Bytes of pages kept in memory, as needed: names are in no order, so every change is elsewhere."""

_FILE_MODE: Final = 0o600  # it holds the hashes of passwords
_PAGE_SIZE: Final = 4096
_IN_MEMORY: Final = ":memory:"
REFUSALS: Final = (
    sqlite3.IntegrityError,
    sqlite3.ProgrammingError,
    sqlite3.InterfaceError,
    sqlite3.DataError,
    OverflowError,
)
"""What is wrong with a change and not with the disk."""


class Database(Protocol):
    """What the catalog needs of a database."""

    async def apply(
        self, changes: Sequence[Change], *, is_whole: bool = False
    ) -> Mapping[int, CatalogError]:
        """Commit changes in one transaction; return what was refused of them, by index.

        With ``is_whole`` one that is refused has all refused.

        :raises ChangeRefused: with ``is_whole``; nothing was applied.
        :raises CatalogError: nothing was applied.
        """
        ...

    def select(self, sql: str) -> AsyncIterator[Sequence[tuple[Any, ...]]]:
        """Return what a query finds, some thousand rows at a time.

        :raises CatalogError: reading failed.
        """
        ...

    async def close(self) -> None:
        """Let go of the file."""
        ...


class GroupConnection(sqlite3.Connection):
    """A connection whose `commit` first carries out the group that was handed over.

    That takes one call in aiosqlite's thread, where a call for each statement would take one each.
    """

    group: Sequence[Change] = ()
    is_whole = False
    refused: Mapping[int, sqlite3.Error | OverflowError] = {}

    def commit(self) -> None:
        """Carry out the group, all or nothing, but for refused changes (in ``refused``).

        :raises sqlite3.Error: nothing was applied; if ``is_whole`` also for refused changes.
        """
        self.refused = {}
        try:
            self.execute("BEGIN IMMEDIATE")
            try:
                self._carry_out(self.group)
            except REFUSALS:
                if self.is_whole:
                    raise
                self.execute("ROLLBACK")
                self.execute("BEGIN IMMEDIATE")
                self.refused = self._carry_out_each(self.group)
            self.execute("COMMIT")
        except BaseException:
            if self.in_transaction:  # SQLite may have rolled back itself
                self.execute("ROLLBACK")
            raise
        finally:
            self.group = ()

    def _carry_out(self, changes: Sequence[Change]) -> None:
        for sql, run in groupby(changes, itemgetter(0)):
            self.executemany(sql, map(itemgetter(1), run))

    def _carry_out_each(
        self, changes: Sequence[Change]
    ) -> dict[int, sqlite3.Error | OverflowError]:
        refused: dict[int, sqlite3.Error | OverflowError] = {}
        for index, change in enumerate(changes):
            self.execute("SAVEPOINT change")
            try:
                self.execute(change.sql, change.parameters)
            except REFUSALS as error:
                refused[index] = error
                self.execute("ROLLBACK TO change")
            self.execute("RELEASE change")
        return refused


class SqliteDatabase:
    """The `Database` in a file, or in memory."""

    def __init__(self, place: str, threaded: aiosqlite.Connection, raw: GroupConnection) -> None:
        self.place = place
        self._threaded = threaded
        self._raw = raw

    @classmethod
    async def open(cls, path: Path | None) -> SqliteDatabase:
        """Open the file, made and migrated if need be; without a path one in memory.

        :raises CatalogError: missing rights, a full disk, damage, a newer version, in use.
        """
        place = _IN_MEMORY if path is None else str(path)
        try:
            raw = await to_thread.run_sync(connect, path)
        except (sqlite3.Error, OSError) as error:
            raise explain(error, place) from error
        threaded = await aiosqlite.Connection(lambda: raw, iter_chunk_size=FETCHED_MAX)
        _stop_at_exit(threaded)
        return cls(place, threaded, raw)

    async def apply(
        self, changes: Sequence[Change], *, is_whole: bool = False
    ) -> Mapping[int, CatalogError]:
        """See `Database.apply`."""
        self._raw.group = changes
        self._raw.is_whole = is_whole
        try:
            await self._threaded.commit()
        except REFUSALS as error:
            raise ChangeRefused(f"catalog {self.place}: refused: {error}") from error
        except sqlite3.Error as error:
            raise explain(error, self.place) from error
        refused: dict[int, CatalogError] = {}
        for index, reason in self._raw.refused.items():
            refused[index] = ChangeRefused(f"catalog {self.place}: refused: {reason}")
            refused[index].__cause__ = reason
        return refused

    async def select(self, sql: str) -> AsyncIterator[Sequence[tuple[Any, ...]]]:
        """See `Database.select`."""
        try:
            async with self._threaded.execute(sql) as cursor:
                while values := list(await cursor.fetchmany(FETCHED_MAX)):
                    yield values  # type: ignore[misc]  # aiosqlite says Row, whatever the factory
        except sqlite3.Error as error:
            raise explain(error, self.place) from error

    async def close(self) -> None:
        """See `Database.close`. Copies the WAL into the database and removes it."""
        try:
            await self._threaded.close()
        except sqlite3.Error as error:
            raise explain(error, self.place) from error


def connect(path: Path | None) -> GroupConnection:
    """Open the file for any one thread at a time; see `SqliteDatabase.open`.

    :raises CatalogError: damage, a newer version, another program's file.
    :raises sqlite3.Error: anything else, or OSError.
    """
    if path is not None:
        _create(path)
    place = _IN_MEMORY if path is None else str(path)
    connection = GroupConnection(
        place, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    try:
        _prepare(connection, place)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, place: str) -> None:
    connection.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
    check_version(connection, place)
    for pragma in (
        f"page_size = {_PAGE_SIZE}",
        "journal_mode = WAL",
        "synchronous = FULL",
        f"wal_autocheckpoint = {WAL_PAGES}",
        f"journal_size_limit = {WAL_SIZE_MAX}",
        "temp_store = MEMORY",
        f"cache_size = {-CACHE_SIZE_MAX >> 10}",
    ):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    migrate(connection, place)
    _check(connection, place)
    connection.execute("PRAGMA foreign_keys = ON")
    if place != _IN_MEMORY:
        _lengthen_wal(connection)


def _check(connection: sqlite3.Connection, place: str) -> None:
    found: str = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise damaged(place, found)


def _lengthen_wal(connection: sqlite3.Connection) -> None:
    """Write a transaction of `WAL_PAGES` into the WAL that is never committed.

    With next to no cache SQLite must put its pages somewhere, and later they are written over.
    """
    connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
    cache_size: int = connection.execute("PRAGMA cache_size").fetchone()[0]
    connection.execute("PRAGMA cache_size = 10")
    with suppress(sqlite3.OperationalError):  # a full disk: the commits will say so
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TABLE filler (filler)")
        connection.execute("INSERT INTO filler VALUES (zeroblob(?))", (WAL_PAGES * _PAGE_SIZE,))
    if connection.in_transaction:
        connection.execute("ROLLBACK")
    connection.execute(f"PRAGMA cache_size = {cache_size}")


def _create(path: Path) -> None:
    """Make an empty file with the right mode, durably; where there is one, see that it is writable.

    An existing file is not opened: to close it again would undo SQLite's locks in this process.
    """
    for needed in (path, path.parent):
        if needed.exists() and not os.access(needed, os.W_OK):
            raise PermissionError(errno.EACCES, f"no right to write {needed}")
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE))
        DirectoryDisk(path.parent).sync_names()


_open_connections: Final[WeakSet[aiosqlite.Connection]] = WeakSet()
_watch_lock: Final = threading.Lock()
_watchers: Final[list[threading.Thread]] = []


def _stop_at_exit(connection: aiosqlite.Connection) -> None:
    """See that the thread of a connection ends with the program, even if nobody closes it.

    It is no daemon, because SQLite should not be cut off in the middle of a call. But it waits for
    work for ever, and Python waits for it.
    """
    _open_connections.add(connection)
    with _watch_lock:
        if not _watchers:
            watcher = threading.Thread(target=_stop_all, name="catalog exit", daemon=True)
            _watchers.append(watcher)
            watcher.start()


def _stop_all() -> None:
    threading.main_thread().join()
    for connection in list(_open_connections):
        connection.stop()
