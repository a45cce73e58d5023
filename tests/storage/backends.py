"""One way to open every backend, with segments so small that they roll all the time."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from amqpbroker.storage.disk import DirectoryDisk
from amqpbroker.storage.encryption import KEY_SIZE, Keyring
from amqpbroker.storage.executor import InlineExecutor
from amqpbroker.storage.fake_disk import FakeDisk
from amqpbroker.storage.faulty import FaultyLog
from amqpbroker.storage.memory import MemoryLog
from amqpbroker.storage.options import LogOptions
from amqpbroker.storage.segment_log import SegmentLog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from amqpbroker.storage.log import SegmentedLog

BACKENDS = ("memory", "faulty", "directory", "fake disk", "encrypted")
SEGMENT_SIZE = 600
BATCH_SIZE_MAX = 2000

SMALL = LogOptions(
    segment_size=SEGMENT_SIZE, batch_size_max=BATCH_SIZE_MAX, read_size=200, index_interval=100
)
ENCRYPTED = LogOptions(
    segment_size=SEGMENT_SIZE,
    batch_size_max=BATCH_SIZE_MAX,
    read_size=200,
    index_interval=100,
    keyring=Keyring({1: b"k" * KEY_SIZE}),
)


@asynccontextmanager
async def open_log(backend: str, path: Path) -> AsyncIterator[SegmentedLog]:
    """Open a new log on ``backend``."""
    log: SegmentedLog
    if backend == "memory":
        log = MemoryLog(segment_size=SEGMENT_SIZE, batch_size_max=BATCH_SIZE_MAX)
    elif backend == "faulty":
        log = FaultyLog(segment_size=SEGMENT_SIZE, batch_size_max=BATCH_SIZE_MAX)
    elif backend == "fake disk":
        log = await SegmentLog.create(FakeDisk(), SMALL, executor=InlineExecutor())
    else:
        options = ENCRYPTED if backend == "encrypted" else SMALL
        log = await SegmentLog.create(DirectoryDisk(path), options)
    try:
        yield log
    finally:
        await log.close()
