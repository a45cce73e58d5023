"""The catalog: durable definitions, changed by plain calls and committed in groups.

A change is staged at once and rides in the next transaction; whoever must not answer before it is
on the disk waits for its ticket. While one transaction is committed, the next gathers: a thousand
clients who declare at the same time share a handful of fsyncs.

::

    handlers ── put_queue(row) ──▶ [group that gathers] ──▶ run() ──▶ one transaction ──▶ tickets

A transaction that fails (a full disk) fails its tickets and nothing else; the next is tried anew.
A change that contradicts what is stored is refused on its own, the rest of its group goes through.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Final

from anyio import CancelScope, Event, Lock, get_cancelled_exc_class

from amqpbroker.storage.catalog import rows, tables
from amqpbroker.storage.catalog.changes import Changes
from amqpbroker.storage.catalog.database import SqliteDatabase
from amqpbroker.storage.catalog.exceptions import CatalogError
from amqpbroker.storage.catalog.group import Change, Group
from amqpbroker.storage.catalog.queue_ids import QueueIds

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from amqpbroker.storage.catalog.database import Database
    from amqpbroker.storage.catalog.group import Ticket
    from amqpbroker.storage.catalog.tables import RowT

GROUP_SIZE_MAX: Final = 10_000
"""Changes in one transaction: some 100 ms, so that an import does not hold up everybody."""

_QUEUE_ID: Final = "queue_id"
_CLOSED: Final = "the catalog is closed: the broker is stopping"

_logger = logging.getLogger(__name__)


class Catalog(Changes):
    """See the module. Made by `open`; `run` must run for tickets to come through."""

    def __init__(self, database: Database, last_queue_id: int) -> None:
        self._database = database
        self._queue_ids = QueueIds(last_queue_id)
        self._groups: deque[Group] = deque()
        self._staged = Event()
        self._lock = Lock()
        self._is_closing = False
        self._is_failing = False
        self._failure: str | None = None
        """What ended ``run``: nobody commits any more."""

    @classmethod
    async def open(cls, path: Path | None) -> Catalog:
        """Open the catalog in a file, made and migrated if need be; without a path in memory.

        :raises CatalogError: missing rights, a full disk, damage, a newer version, in use; the
            text says what to do.
        """
        return await cls.open_database(await SqliteDatabase.open(path))

    @classmethod
    async def open_database(cls, database: Database) -> Catalog:
        """Open the catalog in a database, which is closed if that fails.

        :raises CatalogError: reading or writing failed.
        """
        try:
            last_queue_id = 0
            async for values in database.select(tables.COUNTERS.select):
                last_queue_id = dict(values)[_QUEUE_ID]
            catalog = cls(database, last_queue_id)
            await catalog._reserve_queue_ids()
        except BaseException:
            with CancelScope(shield=True):
                await database.close()
            raise
        return catalog

    async def __aenter__(self) -> Catalog:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    # reading

    async def load(self) -> rows.Snapshot:
        """Return everything that is committed; 1,000,000 queues take some seconds and 200 MB.

        :raises CatalogError: reading failed.
        """
        return rows.Snapshot(
            vhosts=await self._read(rows.VHostRow, tables.VHOSTS),
            users=await self._read(rows.UserRow, tables.USERS),
            permissions=await self._read(rows.PermissionRow, tables.PERMISSIONS),
            topic_permissions=await self._read(rows.TopicPermissionRow, tables.TOPIC_PERMISSIONS),
            exchanges=await self._read(rows.ExchangeRow, tables.EXCHANGES),
            queues=await self._read(rows.QueueRow, tables.QUEUES),
            bindings=await self._read(
                rows.BindingRow, tables.QUEUE_BINDINGS, tables.EXCHANGE_BINDINGS
            ),
            policies=await self._read(rows.PolicyRow, tables.POLICIES),
            parameters=await self._read(rows.ParameterRow, tables.PARAMETERS),
            global_parameters=await self._read(rows.GlobalParameterRow, tables.GLOBAL_PARAMETERS),
        )

    async def _read(self, kind: type[RowT], *sources: tables.Table) -> list[RowT]:
        found: list[RowT] = []
        for source in sources:
            async for values in self._database.select(source.select):
                found += tables.rows_of(kind, values)
        return found

    # changing

    def next_queue_id(self) -> int:
        """Return an id for a new queue; see `queue_ids`.

        :raises CatalogError: the catalog could not be written for too long, or is closed.
        """
        self._check_open()
        limit = self._queue_ids.wanted_limit()
        if limit is not None:
            self._stage(Change(tables.COUNTERS.put, (_QUEUE_ID, limit)))
            self._groups[-1].queue_id_limit = limit
        return self._queue_ids.next()

    def stage(self, change: Change) -> Ticket:
        """See `Changes.stage`."""
        self._check_open()
        return self._stage(change)

    def _check_open(self) -> None:
        if self._failure is not None:
            raise CatalogError(self._failure)
        if self._is_closing:
            raise CatalogError(_CLOSED)

    def _stage(self, change: Change) -> Ticket:
        last = self._groups[-1] if self._groups else None
        if last is None or last.is_whole or len(last.changes) >= GROUP_SIZE_MAX:
            last = Group()
            self._append(last)
        return last.stage(change)

    def _append(self, group: Group) -> None:
        self._groups.append(group)
        self._staged.set()

    async def commit_whole(self, group: Group) -> None:
        """Commit a group of its own, after what is staged already; either all of it or nothing.

        Cancelled before its turn has come, it is withdrawn; after that the outcome is waited for.

        :raises CatalogError: nothing was applied.
        """
        self._check_open()
        self._append(group)
        try:
            await group.wait()
        except get_cancelled_exc_class():
            if group in self._groups:
                self._groups.remove(group)
                raise
            with CancelScope(shield=True):
                await group.wait()
        error = group.error(0)
        if error is not None:
            raise error

    async def _reserve_queue_ids(self) -> None:
        limit = self._queue_ids.wanted_limit()
        assert limit is not None
        await self._database.apply([Change(tables.COUNTERS.put, (_QUEUE_ID, limit))])
        self._queue_ids.committed(limit)

    # committing

    async def run(self) -> None:
        """Commit what is staged, group by group, until `close`. To be run in a task of its own.

        Cancelled, it finishes the transaction at hand; what is staged then is left to `close`.
        """
        while not self._is_closing:
            await self._staged.wait()
            await self._commit_next()

    async def close(self) -> None:
        """Commit what is staged, then let go of the file. Further changes are refused.

        :raises CatalogError: the file could not be closed in good order; nothing is lost.
        """
        if self._is_closing:
            return
        self._is_closing = True
        with CancelScope(shield=True):
            self._stage(Change(tables.COUNTERS.put, (_QUEUE_ID, self._queue_ids.last)))
            try:
                while self._groups:
                    await self._commit_next()
            finally:
                async with self._lock:
                    await self._database.close()

    async def _commit_next(self) -> None:
        async with self._lock:
            if self._groups:
                with CancelScope(shield=True):
                    await self._commit(self._groups.popleft())
            if not self._groups:
                self._staged = Event()

    async def _commit(self, group: Group) -> None:
        try:
            refused = await self._database.apply(group.changes, is_whole=group.is_whole)
        except CatalogError as error:
            if group.is_whole:
                group.fail(error)
                return
            if not self._is_failing:
                _logger.error("%s; until then nothing can be declared or deleted", error)
            self._is_failing = True
            if group.queue_id_limit:
                self._queue_ids.failed()
            group.fail(error)
        except BaseException as error:
            self._failure = f"the catalog failed: {error!r}"
            for doomed in (group, *self._groups):
                doomed.fail(CatalogError(self._failure))
            self._groups.clear()
            raise
        else:
            if self._is_failing:
                _logger.info("the catalog can be written again")
            self._is_failing = False
            if group.queue_id_limit:
                self._queue_ids.committed(group.queue_id_limit)
            group.succeed(refused)
