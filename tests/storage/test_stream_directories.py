"""Partitions in directories of their own (FEATURES S91, A11.4)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from amqpbroker.storage.log import LogUnavailable
from amqpbroker.storage.options import LogOptions
from amqpbroker.storage.partition import Partition
from amqpbroker.storage.shard_record import EnqueueRecord
from amqpbroker.storage.stream_directories import StreamDirectories

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SEGMENT_SIZE = 4096
RECORD = EnqueueRecord(0, 1, (), b"", b"k", b"\0\0", 1, b"x", 1)


@pytest.fixture
def directories(tmp_path: Path) -> Iterator[StreamDirectories]:
    directories = StreamDirectories(tmp_path / "streams", LogOptions())
    yield directories
    directories.close()


def partition(directories: StreamDirectories, number: int) -> Partition:
    return Partition(lambda: directories.open(number, SEGMENT_SIZE), "test")


async def test_each_has_its_directory_until_it_is_removed(
    directories: StreamDirectories, tmp_path: Path
) -> None:
    assert await directories.numbers() == []
    for number in (3, 17):
        item = partition(directories, number)
        await item.append([RECORD])
        await item.close()
    assert await directories.numbers() == [3, 17]
    assert (tmp_path / "streams" / "17" / f"{0:020}.log").is_file()
    await directories.remove(3)
    await directories.remove(3)
    assert await directories.numbers() == [17]


async def test_what_is_closed_holds_no_descriptor(directories: StreamDirectories) -> None:
    items = [partition(directories, number) for number in range(20)]
    for item in items:
        await item.append([RECORD])
    most = len(os.listdir("/proc/self/fd"))
    for item in items:
        await item.close()
    assert len(os.listdir("/proc/self/fd")) <= most - 2 * len(items)


async def test_a_directory_that_cannot_be_made_says_so(
    directories: StreamDirectories, tmp_path: Path
) -> None:
    (tmp_path / "streams").write_bytes(b"")
    with pytest.raises(LogUnavailable):
        await directories.open(1, SEGMENT_SIZE)


async def test_a_few_bytes_are_kept_beside_the_log(directories: StreamDirectories) -> None:
    assert await directories.load_tracked(3) == b"{}"
    with pytest.raises(LogUnavailable):
        await directories.store_tracked(3, b"lost")
    item = partition(directories, 3)
    await item.append([RECORD])
    for data in (b"one", b"two"):
        await directories.store_tracked(3, data)
    await item.close()
    await item.open()
    assert await directories.load_tracked(3) == b"two"
    await item.close()
