"""Opening a broker on a data directory, and closing it in good order.

::

    data_dir/catalog.sqlite    definitions (storage.catalog)
    data_dir/shard-0/          messages of durable queues (storage.segment_log)
    data_dir/scram-decoy.key   makes SCRAM's salts of users who do not exist; only with SCRAM
    data_dir/streams/          messages of streams, a directory each (storage.stream_directories)
    data_dir/spill/            transient messages that memory has no room for; not read at a start

The catalog is read first, then the log is replayed into the queues that the catalog knows, then a
new epoch fences off whoever might still write. The catalog and the log belong together: one without
the other is refused, because going on would silently drop what the missing half explains.
"""

from __future__ import annotations

import json
import logging
import os
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

import anyio

from amqpbroker.auth.secret_file import load_secret
from amqpbroker.broker.broker import Broker
from amqpbroker.broker.deduplicating import WINDOW_PREFIX
from amqpbroker.broker.delayed import NAME as DELAYED
from amqpbroker.broker.journal import Journal, Keeper
from amqpbroker.broker.metadata import VHostMetadata
from amqpbroker.broker.paging import Pager
from amqpbroker.broker.queue_types import create_queue
from amqpbroker.broker.recovery import recover
from amqpbroker.broker.store import Store, binding_of, load_policies, load_users, unpack
from amqpbroker.broker.stream_queue import StreamQueue
from amqpbroker.broker.timers import SYSTEM_CLOCK, Clock
from amqpbroker.broker.vhost import VHost
from amqpbroker.routing.registry import create_exchange
from amqpbroker.storage.catalog import Catalog, CatalogError
from amqpbroker.storage.catalog.database import SqliteDatabase
from amqpbroker.storage.catalog.patience import PatientDatabase
from amqpbroker.storage.disk import DirectoryDisk
from amqpbroker.storage.encryption import Keyring
from amqpbroker.storage.log import LogMissing
from amqpbroker.storage.options import LogOptions
from amqpbroker.storage.recovery import unavailable
from amqpbroker.storage.scratch_log import ScratchDisk, ScratchLog, discard
from amqpbroker.storage.segment_log import SegmentLog
from amqpbroker.storage.stream_directories import StreamDirectories

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from amqpbroker.broker.streams import Storage, Streams
    from amqpbroker.config import Config
    from amqpbroker.storage.catalog.database import Database
    from amqpbroker.storage.catalog.rows import QueueRow, Snapshot, VHostRow
    from amqpbroker.storage.disk import Disk
    from amqpbroker.storage.executor import Executor

logger = logging.getLogger("amqpbroker.opening")

CATALOG_NAME: Final = "catalog.sqlite"
SHARD_NAME: Final = "shard-0"
DECOY_KEY_NAME: Final = "scram-decoy.key"
STREAMS_NAME: Final = "streams"
SPILL_NAME: Final = "spill"
BATCH_SIZE_MAX: Final = 1 << 30
"""Bytes: a transaction is one batch, whatever its size. The journal aims at far smaller ones."""


class Ground(NamedTuple):
    """What a broker stands on: disks and clocks, real ones or those of a simulation."""

    database: Database
    """Of the catalog."""
    disk: Disk
    """Of the log."""
    options: LogOptions
    clock: Clock = SYSTEM_CLOCK
    executor: Executor | None = None
    """Where the log's blocking work runs; None: a thread."""
    streams: Storage | None = None
    """Of streams; None: in memory."""
    spill: Disk | None = None
    """Of bodies of transient messages; None: they stay in memory."""


@asynccontextmanager
async def open_broker(
    config: Config, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> AsyncIterator[Broker]:
    """Open the broker that ``config`` describes; its background tasks run inside the context.

    One that is to import definitions is left without a default vhost and user when it is new: the
    import makes them unless the file brings users (FEATURES A14.6).

    Raises :class:`~amqpbroker.storage.catalog.CatalogError`,
    :class:`~amqpbroker.storage.log.LogError` and :class:`OSError`, each with what to do.
    """
    if config.is_memory:
        broker = Broker(config)
        if not config.has_definitions:
            broker.add_defaults()
        broker.consumer_timeouts.start()
        async with _running_streams(broker.streams):
            yield broker
        return
    options = log_options(config)
    config.data_dir.mkdir(parents=True, exist_ok=True)
    database = await SqliteDatabase.open(config.data_dir / CATALOG_NAME)
    streams = StreamDirectories(config.data_dir / STREAMS_NAME, options)
    disk = DirectoryDisk(config.data_dir / SHARD_NAME)
    spill = ScratchDisk(config.data_dir / SPILL_NAME)
    ground = Ground(database, disk, options, streams=streams, spill=spill)
    async with open_on(ground, config, on_progress) as broker:
        if broker.users.passwords.scram_mechanisms:
            broker.users.decoy_key = load_secret(config.data_dir / DECOY_KEY_NAME)
        yield broker


@asynccontextmanager
async def open_on(
    ground: Ground,
    config: Config,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> AsyncIterator[Broker]:
    """Open the broker that stands on ``ground``, which is closed with it; see `open_broker`."""
    database = PatientDatabase(ground.database)
    async with await Catalog.open_database(database) as catalog:
        snapshot = await catalog.load()
        is_new = not snapshot.vhosts and not snapshot.users
        log = await _open_log(ground, is_new=is_new)
        try:
            broker, journal = await _build(
                config,
                catalog,
                snapshot,
                log,
                on_progress,
                clock=ground.clock,
                spill=_open_spill(ground),
            )
            await _open_streams(broker, ground.streams)
            del snapshot
            broker.consumer_timeouts.start()
            database.on_short = partial(broker.alarms.set, "disk", "catalog")
            async with _running_streams(broker.streams), _running(catalog, database, journal):
                yield broker
        finally:
            with anyio.CancelScope(shield=True):
                await log.close()


@asynccontextmanager
async def _running_streams(streams: Streams) -> AsyncIterator[None]:
    """Do the jobs of streams in the background; close all of them at the end."""
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(streams.run)
            yield
            tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await streams.close()


@asynccontextmanager
async def _running(
    catalog: Catalog, database: PatientDatabase, journal: Journal
) -> AsyncIterator[None]:
    """Commit what is staged, in the background; at the end all of it.

    The journal waits for definitions, so the catalog runs until the journal is closed.
    """
    async with anyio.create_task_group() as definitions:
        definitions.start_soon(_run_shielded, catalog)
        database.is_patient = True
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(journal.run)
                tasks.start_soon(journal.pager.run)
                tasks.start_soon(journal.pager.spill.run)
                try:
                    yield
                finally:
                    database.is_patient = False
                    journal.give_up()
                    tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                try:
                    await journal.pager.spill.close()
                    await journal.close()
                finally:
                    await catalog.close()


async def _run_shielded(catalog: Catalog) -> None:
    """Commit definitions until the catalog is closed, whatever is cancelled meanwhile."""
    with anyio.CancelScope(shield=True):
        await catalog.run()


def log_options(config: Config) -> LogOptions:
    """Return how the log is to be written and read.

    Raises :class:`~amqpbroker.storage.log.LogUnavailable`: the key file cannot be used.
    """
    keyring = None
    if config.encryption_key_file is not None:
        keyring = Keyring.load(config.encryption_key_file)
    return LogOptions(
        segment_size=config.segment_size,
        batch_size_max=BATCH_SIZE_MAX,
        fsync=config.fsync,
        fsync_interval_s=config.fsync_interval_s,
        keyring=keyring,
    )


async def _open_log(ground: Ground, *, is_new: bool) -> SegmentLog:
    disk, options, executor = ground.disk, ground.options, ground.executor
    if is_new:
        disk.create_directory()
    elif not disk.exists():
        raise LogMissing(
            f"{disk.path_of('')} is missing, with all messages, but {CATALOG_NAME} beside it is "
            "there: put it back (is the disk mounted?), or move both away to start empty"
        )
    try:
        return await SegmentLog.open(disk, options, executor=executor)
    except LogMissing:
        if not is_new:
            raise
    return await SegmentLog.create(disk, options, executor=executor)


def _open_spill(ground: Ground) -> ScratchLog | None:
    """Return where to spill, without what was spilled before.

    Raises :class:`~amqpbroker.storage.log.LogUnavailable`: that cannot be deleted.
    """
    disk = ground.spill
    if disk is None:
        return None
    try:
        discard(disk)
    except OSError as error:
        raise unavailable(disk.path_of(""), error) from error
    return ScratchLog(disk, ground.options, executor=ground.executor)


async def _build(
    config: Config,
    catalog: Catalog,
    snapshot: Snapshot,
    log: SegmentLog,
    on_progress: Callable[[int, int], None],
    *,
    clock: Clock = SYSTEM_CLOCK,
    spill: ScratchLog | None = None,
) -> tuple[Broker, Journal]:
    store = Store(catalog)
    broker = Broker(config, store, clock)
    store.queues = queues = _restore(broker, snapshot)
    pager = Pager(log, config.body_memory_limit, spill=spill, flush=broker.flush)
    recovered = await recover(log, queues, pager, on_progress)
    is_new = not snapshot.vhosts and not snapshot.users
    if is_new and recovered.next_sequence > 1:
        raise CatalogError(
            f"{config.data_dir / SHARD_NAME} holds messages, but {config.data_dir / CATALOG_NAME} "
            "is new and knows no queues: put the catalog back, or move the log away to start empty"
        )
    extent = await log.extent()
    writer = await log.fence(
        after=extent.last, epoch=recovered.last_epoch + 1, owner=f"pid {os.getpid()}"
    )
    journal = Journal(
        log,
        writer,
        next_sequence=recovered.next_sequence,
        segments=recovered.segments,
        flush=broker.flush,
        on_alarm=lambda resource, is_on: broker.alarms.set(resource, "log", is_on),
        pager=pager,
        now_ms=clock.wall_ms,
    )
    journal.messages_of = broker.messages_of
    broker.journal = journal
    broker.spill = pager.spill
    for queue in queues.values():
        if not isinstance(queue, StreamQueue):
            queue.journal = journal
    for vhost in broker.vhosts.values():
        vhost.page(pager)
    if is_new and not config.has_definitions:
        broker.add_defaults()
    if recovered.message_count:
        logger.info("recovered %d messages in %d queues", recovered.message_count, len(queues))
    return broker, journal


async def _open_streams(broker: Broker, storage: Storage | None) -> None:
    """Find out what is in the streams that the catalog knows."""
    streams, store = broker.streams, broker.store
    assert store is not None
    streams.journal = broker.journal
    if storage is not None:
        streams.storage = storage
    await streams.recover([q for q in store.queues.values() if isinstance(q, StreamQueue)])


def _restore_vhost(broker: Broker, row: VHostRow) -> VHost:
    vhost = VHost(row.name, timers=broker.timers, streams=broker.streams)
    vhost.limits.update(json.loads(row.limits))
    vhost.metadata = VHostMetadata.from_json(row.metadata)
    return vhost


def _restore(broker: Broker, snapshot: Snapshot) -> dict[int, Keeper]:
    """Make vhosts, exchanges, queues and bindings of rows; return the queues by id."""
    load_users(broker.users, snapshot)
    vhosts = {row.name: _restore_vhost(broker, row) for row in snapshot.vhosts}
    load_policies(vhosts, snapshot)
    broker.global_parameters = {
        row.name: json.loads(row.value) for row in snapshot.global_parameters
    }
    for row in snapshot.exchanges:
        exchange = create_exchange(
            row.type,
            row.name,
            is_auto_delete=row.is_auto_delete,
            is_internal=row.is_internal,
            arguments=unpack(row.arguments),
            vhost=row.vhost,
        )
        vhosts[row.vhost].add_exchange(exchange)
    queues: dict[int, Keeper] = {}
    windows: list[QueueRow] = []
    for item in snapshot.queues:
        if item.name == DELAYED:
            delayed = queues[item.id] = vhosts[item.vhost].delayed
            delayed.id = item.id
            continue
        if item.name.startswith(WINDOW_PREFIX):
            windows.append(item)
            continue
        queue = create_queue(
            item.name,
            is_durable=True,
            is_auto_delete=item.is_auto_delete,
            arguments=unpack(item.arguments),
            queue_id=item.id,
        )
        queues[item.id] = queue
        vhosts[item.vhost].add_queue(queue)
    for item in windows:
        window = vhosts[item.vhost].windows.named(item.name)
        if window is not None:
            window.id = item.id
            queues[item.id] = window
    for binding in snapshot.bindings:
        vhosts[binding.vhost].bind(binding_of(binding))
    for vhost in vhosts.values():
        vhost.store = broker.store
    broker.vhosts = vhosts
    return queues
