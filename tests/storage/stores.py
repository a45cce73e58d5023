"""Logs on fake disks without threads, for the tests of their parts."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from amqpbroker.storage.segment_log import create_store, open_store
from tests.storage.backends import SMALL

if TYPE_CHECKING:
    from amqpbroker.storage.fake_disk import FakeDisk
    from amqpbroker.storage.options import LogOptions
    from amqpbroker.storage.segment_store import SegmentStore


def new_store(disk: FakeDisk, options: LogOptions = SMALL) -> tuple[SegmentStore, int]:
    """Return a new log with its epoch batch at offset 0, and the generation of its writer."""
    store = create_store(disk, options, UUID(int=7))
    return store, store.fence(-1, 1, "me")


def filled_store(
    disk: FakeDisk, count: int = 20, options: LogOptions = SMALL
) -> tuple[SegmentStore, int]:
    """Return a log of offsets 0 to ``count``, two or three in a segment."""
    store, generation = new_store(disk, options)
    for number in range(1, count + 1):
        store.append(generation, [b"%02d" % number * 60, b"second"])
    return store, generation


def reopened(disk: FakeDisk, options: LogOptions = SMALL) -> SegmentStore:
    """Kill the process that has the log open, and open it again."""
    disk.restart(power_cut=False)
    return open_store(disk, options)


def log_names(disk: FakeDisk) -> list[str]:
    """Return the segment files in order."""
    return [name for name in disk.names() if name.endswith(".log")]
