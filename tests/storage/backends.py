"""One way to open every backend, with segments so small that they roll all the time."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from amqpbroker.storage.faulty import FaultyLog
from amqpbroker.storage.memory import MemoryLog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from amqpbroker.storage.log import SegmentedLog

BACKENDS = ("memory", "faulty")
SEGMENT_SIZE = 600
BATCH_SIZE_MAX = 2000


@asynccontextmanager
async def open_log(backend: str, path: Path) -> AsyncIterator[SegmentedLog]:
    """Open a new log on ``backend``."""
    kind = {"memory": MemoryLog, "faulty": FaultyLog}[backend]
    yield kind(segment_size=SEGMENT_SIZE, batch_size_max=BATCH_SIZE_MAX)
