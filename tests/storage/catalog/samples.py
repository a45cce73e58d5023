"""One row of every kind, a catalog that runs, and a database that fails when told to."""

from __future__ import annotations

from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from anyio import create_task_group

from amqpbroker.storage.catalog import Catalog, rows
from amqpbroker.storage.catalog.database import SqliteDatabase

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from amqpbroker.storage.catalog import CatalogError, Ticket
    from amqpbroker.storage.catalog.database import Database
    from amqpbroker.storage.catalog.group import Change

VHOST = rows.VHostRow("/", '{"description": "d"}', "{}", is_tracing=False)
USER = rows.UserRow("guest", "hash", "rabbit_password_hashing_sha256", "[]", "{}", "[]")
PERMISSION = rows.PermissionRow("guest", "/", ".*", "", "^a")
TOPIC_PERMISSION = rows.TopicPermissionRow("guest", "/", "amq.topic", "^w", "^r")
SOURCE = rows.ExchangeRow("/", "amq.topic", "topic", False, False, b"")
EXCHANGE = rows.ExchangeRow("/", "e", "x-consistent-hash", True, True, b"\0\xff")
QUEUE = rows.QueueRow(1, "/", "q", True, b"\0\0\0\x01t")
TO_QUEUE = rows.BindingRow("/", "amq.topic", "queue", "q", "a.#", b"")
TO_EXCHANGE = rows.BindingRow("/", "amq.topic", "exchange", "e", "b.*", b"\x01")
POLICY = rows.PolicyRow("/", "p", "^q", "queues", -1, '{"max-length": 1}')
PARAMETER = rows.ParameterRow("/", "shovel", "s", "{}")
GLOBAL_PARAMETER = rows.GlobalParameterRow("cluster_name", '"here"')

EMPTY = rows.Snapshot([], [], [], [], [], [], [], [], [], [])
FULL = rows.Snapshot(
    vhosts=[VHOST],
    users=[USER],
    permissions=[PERMISSION],
    topic_permissions=[TOPIC_PERMISSION],
    exchanges=[SOURCE, EXCHANGE],
    queues=[QUEUE],
    bindings=[TO_QUEUE, TO_EXCHANGE],
    policies=[POLICY],
    parameters=[PARAMETER],
    global_parameters=[GLOBAL_PARAMETER],
)


def put_all(catalog: Catalog) -> Ticket:
    """Stage all of `FULL`; return the last ticket."""
    catalog.put_vhost(VHOST)
    catalog.put_user(USER)
    catalog.put_permission(PERMISSION)
    catalog.put_topic_permission(TOPIC_PERMISSION)
    catalog.put_exchange(SOURCE)
    catalog.put_exchange(EXCHANGE)
    catalog.put_queue(QUEUE)
    catalog.put_binding(TO_QUEUE)
    catalog.put_binding(TO_EXCHANGE)
    catalog.put_policy(POLICY)
    catalog.put_parameter(PARAMETER)
    return catalog.put_global_parameter(GLOBAL_PARAMETER)


def queue(catalog: Catalog, name: str, vhost: str = "/") -> rows.QueueRow:
    """Return the row of a new queue."""
    return rows.QueueRow(catalog.next_queue_id(), vhost, name, False, b"")


@asynccontextmanager
async def running(catalog: Catalog) -> AsyncIterator[Catalog]:
    """Run a catalog, and close it."""
    async with create_task_group() as tasks, catalog:
        tasks.start_soon(catalog.run)
        yield catalog


@asynccontextmanager
async def opened(path: Path | None = None) -> AsyncIterator[Catalog]:
    """Open and run the catalog in a file, or in memory."""
    async with running(await Catalog.open(path)) as catalog:
        yield catalog


async def stored(path: Path) -> rows.Snapshot:
    """Return what a file holds."""
    async with await Catalog.open(path) as catalog:
        return await catalog.load()


class FaultyDatabase:
    """A database that counts its transactions and fails those that it is told to."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.sizes: list[int] = []
        self.errors: deque[BaseException | None] = deque()

    @classmethod
    async def in_memory(cls) -> FaultyDatabase:
        return cls(await SqliteDatabase.open(None))

    async def apply(
        self, changes: Sequence[Change], *, is_whole: bool = False
    ) -> Mapping[int, CatalogError]:
        self.sizes.append(len(changes))
        error = self.errors.popleft() if self.errors else None
        if error is not None:
            raise error
        return await self._database.apply(changes, is_whole=is_whole)

    def select(self, sql: str) -> AsyncIterator[Sequence[tuple[Any, ...]]]:
        return self._database.select(sql)

    async def close(self) -> None:
        await self._database.close()
