"""A broker that keeps its durable queues, without files, tasks or time.

The catalog stores at once. The log is the test's; what is staged is committed when it says so.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, cast

import anyio
from anyio.lowlevel import checkpoint

from amqpbroker.broker.opening import _build
from amqpbroker.broker.timers import Clock
from amqpbroker.config import Config
from amqpbroker.storage.catalog import CatalogError, rows, tables
from amqpbroker.storage.catalog.changes import Changes
from amqpbroker.storage.catalog.database import connect as connect_database
from amqpbroker.storage.catalog.group import Change, Group, Ticket
from amqpbroker.storage.executor import InlineExecutor
from amqpbroker.storage.memory import MemoryLog
from amqpbroker.storage.scratch_log import ScratchLog, discard
from amqpbroker.storage.segment_log import SegmentLog
from amqpbroker.storage.shard_record import EnqueueRecord, ShardRecord, decode
from tests.amqp_bytes import command_frame, properties
from tests.broker.client import MemoryClient
from tests.broker.client import connect as connect_client
from tests.broker.clock import Clock as SetClock
from tests.storage.backends import SMALL

if TYPE_CHECKING:
    from pamqp import base

    from amqpbroker.broker.journal import Journal
    from amqpbroker.storage.catalog import Catalog
    from amqpbroker.storage.fake_disk import FakeDisk
    from amqpbroker.storage.log import Batch, SegmentedLog
    from tests.amqp_bytes import Message

PERSISTENT = properties(delivery_mode=2)


class InstantCatalog(Changes):
    """The catalog in memory; with ``is_held`` changes wait until ``succeed`` or ``fail``."""

    def __init__(self) -> None:
        self._connection = connect_database(None)
        weakref.finalize(self, self._connection.close)
        self._held: list[Group] = []
        self._last_queue_id = 0
        self.is_held = False

    def stage(self, change: Change) -> Ticket:
        group = Group()
        ticket = group.stage(change)
        self._held.append(group)
        if not self.is_held:
            self.succeed()
        return ticket

    def succeed(self) -> None:
        """Store what is held."""
        for group in self._held:
            self._connection.group = group.changes
            self._connection.commit()
            group.succeed({})
        self._held.clear()

    def fail(self, error: CatalogError) -> None:
        """Store nothing of what is held."""
        for group in self._held:
            group.fail(error)
        self._held.clear()

    def next_queue_id(self) -> int:
        self._last_queue_id += 1
        return self._last_queue_id

    def snapshot(self) -> rows.Snapshot:
        """Return everything that is stored."""
        kinds: tuple[tuple[Any, tuple[tables.Table, ...]], ...] = (
            (rows.VHostRow, (tables.VHOSTS,)),
            (rows.UserRow, (tables.USERS,)),
            (rows.PermissionRow, (tables.PERMISSIONS,)),
            (rows.TopicPermissionRow, (tables.TOPIC_PERMISSIONS,)),
            (rows.ExchangeRow, (tables.EXCHANGES,)),
            (rows.QueueRow, (tables.QUEUES,)),
            (rows.BindingRow, (tables.QUEUE_BINDINGS, tables.EXCHANGE_BINDINGS)),
        )
        found: list[list[Any]] = []
        for kind, sources in kinds:
            selected = [self._connection.execute(table.select).fetchall() for table in sources]
            found.append([r for values in selected if values for r in tables.rows_of(kind, values)])
        vhosts, users, permissions, topic_permissions, exchanges, queues, bindings = found
        return rows.Snapshot(
            vhosts, users, permissions, topic_permissions, exchanges, queues, bindings, [], [], []
        )


class DurableBroker:
    """A broker on a log; ``start`` it again and again."""

    def __init__(
        self, log: SegmentedLog | None = None, *, spill: FakeDisk | None = None, **settings: Any
    ) -> None:
        self._config = Config(port=0, **settings)
        self.log: SegmentedLog = log or MemoryLog()
        self.spill = spill
        self.catalog = InstantCatalog()
        self.clock = SetClock()
        self.slept: list[float] = []
        self.journal: Journal

    async def start(self) -> None:
        """Begin with what is in catalog and log; what the broker before had in memory is lost."""
        catalog = cast("Catalog", self.catalog)
        log = cast("SegmentLog", self.log)
        snapshot = self.catalog.snapshot()
        self.broker, self.journal = await _build(
            self._config,
            catalog,
            snapshot,
            log,
            lambda done, total: None,
            clock=Clock(self.clock, lambda: int(self.clock.now * 1000)),
            spill=self._open_spill(),
        )
        pager = self.journal.pager
        self.journal._sleep = pager._sleep = pager.spill._sleep = self._sleep

    def _open_spill(self) -> ScratchLog | None:
        if self.spill is None:
            return None
        discard(self.spill)
        return ScratchLog(self.spill, SMALL, executor=InlineExecutor())

    async def _sleep(self, delay_s: float) -> None:
        self.slept.append(delay_s)
        await checkpoint()

    def connect(self, *channels: int) -> MemoryClient:
        """Return a client that has logged in."""
        client = connect_client(self.broker, *channels)
        self.broker.sessions.add(client.session)
        return client

    async def commit(self) -> None:
        """Write everything that is staged, in as many batches as it takes."""
        journal = self.journal
        while True:
            is_last = not journal._full
            await journal.commit()
            if is_last or journal.failure is not None:
                return

    async def compact(self) -> None:
        """Have a thin segment rewritten, and what is dead then deleted."""
        self.clock.now += 2
        await self.commit()
        await self.commit()
        await self.commit()

    async def read_back(self) -> None:
        """Read what is wanted of bodies that are not in memory."""
        while self.journal.pager.is_reading:
            await self.journal.pager.serve()

    async def call(self, client: MemoryClient, command: base.Frame, channel: int = 1) -> None:
        """Have a method handled whose answer waits for the next commit."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.session.receive, command_frame(command, channel))
            await anyio.wait_all_tasks_blocked()
            await self.commit()
        self.broker.flush()

    async def batches(self) -> list[Batch]:
        """Return what is in the log, without the epochs."""
        first = (await self.log.extent()).first
        return [batch async for batch in self.log.read(first) if batch.owner is None]

    async def records(self) -> list[ShardRecord]:
        """Return all records that are in the log."""
        return [decode(record) for batch in await self.batches() for record in batch.records]

    @property
    def segment_count(self) -> int:
        """How many segments the log has."""
        return len(self.log.segments())


async def running(
    log: SegmentedLog | None = None, *, spill: FakeDisk | None = None, **settings: Any
) -> DurableBroker:
    """Return a broker that has started."""
    durable = DurableBroker(log, spill=spill, **settings)
    await durable.start()
    return durable


async def fake_log(disk: FakeDisk) -> SegmentedLog:
    """Open a log with very small segments on a fake disk, or make it."""
    if disk.names():
        return await SegmentLog.open(disk, SMALL, executor=InlineExecutor())
    return await SegmentLog.create(disk, SMALL, executor=InlineExecutor())


def lent(client: MemoryClient, queue: str) -> Message:
    """Return the first message of a queue, to be settled."""
    message = client.get(queue, no_ack=False)
    assert message is not None
    return message


def sequences(record: ShardRecord) -> list[int]:
    """Return the numbers of the messages that a record is about."""
    if isinstance(record, EnqueueRecord):
        return list(range(record.first, record.first + record.message_count))
    return [n for first, count in record.ranges for n in range(first, first + count)]


__all__ = ["PERSISTENT", "DurableBroker", "fake_log", "lent", "running", "sequences"]
