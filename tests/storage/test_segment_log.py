"""Opening, closing and reopening the embedded log; see test_log_contract for the rest."""

from __future__ import annotations

import itertools
import threading
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

import anyio
import pytest

from amqpbroker.storage.disk import DirectoryDisk
from amqpbroker.storage.encryption import KEY_SIZE, Keyring
from amqpbroker.storage.executor import InlineExecutor
from amqpbroker.storage.fake_disk import FakeDisk
from amqpbroker.storage.log import AppendTimeout, Fenced, LogMissing, LogUnavailable
from amqpbroker.storage.segment_log import SegmentLog
from tests.storage.backends import SMALL

if TYPE_CHECKING:
    from pathlib import Path


def key(number: int) -> bytes:
    return bytes([number]) * KEY_SIZE


async def records(log: SegmentLog, start: int = 0) -> list[bytes]:
    return [record async for batch in log.read(start) for record in batch.records]


async def test_a_log_that_was_closed_goes_on_where_it_ended(tmp_path: Path) -> None:
    log = await SegmentLog.create(DirectoryDisk(tmp_path), SMALL, incarnation=UUID(int=5))
    writer = await log.fence(after=-1, epoch=1, owner="me")
    for number in range(30):
        await writer.append([b"%d" % number * 50])
    await log.close()
    log = await SegmentLog.open(DirectoryDisk(tmp_path), SMALL)
    assert await log.extent() == (0, 30, UUID(int=5))
    assert await records(log) == [b"%d" % number * 50 for number in range(30)]
    with pytest.raises(Fenced):
        await log.fence(after=30, epoch=1, owner="me")
    writer = await log.fence(after=30, epoch=2, owner="me")
    assert await writer.append([b"x"]) == 32
    await log.close()


async def test_a_missing_log_is_never_created_by_opening(tmp_path: Path) -> None:
    with pytest.raises(LogMissing, match="is the disk mounted"):
        await SegmentLog.open(DirectoryDisk(tmp_path))
    with pytest.raises(LogUnavailable, match="No such file"):
        await SegmentLog.open(DirectoryDisk(tmp_path / "none"))
    assert DirectoryDisk(tmp_path).names() == ["lock"]


async def test_a_log_is_not_created_over_another(tmp_path: Path) -> None:
    await (await SegmentLog.create(DirectoryDisk(tmp_path))).close()
    with pytest.raises(LogUnavailable, match="holds a log already"):
        await SegmentLog.create(DirectoryDisk(tmp_path))
    await (await SegmentLog.open(DirectoryDisk(tmp_path))).close()


async def test_a_second_opener_is_told_that_it_is_open(tmp_path: Path) -> None:
    log = await SegmentLog.create(DirectoryDisk(tmp_path))
    with pytest.raises(LogUnavailable, match="another process has it open"):
        await SegmentLog.open(DirectoryDisk(tmp_path))
    await log.close()
    await (await SegmentLog.open(DirectoryDisk(tmp_path))).close()


@pytest.mark.parametrize(
    ("keyring", "message"),
    [
        (None, "encrypted with key 1: give the key file"),
        (Keyring({2: key(2)}), "encrypted with key 1, which the key file does not hold"),
        (Keyring({1: key(9)}), "encrypted with another key 1 than the key file holds"),
    ],
)
async def test_a_missing_or_wrong_key_refuses_to_open(
    tmp_path: Path, keyring: Keyring | None, message: str
) -> None:
    options = replace(SMALL, keyring=Keyring({1: key(1)}))
    log = await SegmentLog.create(DirectoryDisk(tmp_path), options)
    writer = await log.fence(after=-1, epoch=1, owner="me")
    await writer.append([b"secret"])
    await log.close()
    with pytest.raises(LogUnavailable, match=message):
        await SegmentLog.open(DirectoryDisk(tmp_path), replace(SMALL, keyring=keyring))
    log = await SegmentLog.open(DirectoryDisk(tmp_path), options)
    assert await records(log) == [b"secret"]
    await log.close()


async def test_after_a_timeout_reading_and_fencing_settle_what_landed() -> None:
    disk = FakeDisk()
    log = await SegmentLog.create(disk, SMALL, executor=InlineExecutor())
    writer = await log.fence(after=-1, epoch=1, owner="me")
    disk.faults[disk.operations + 1] = 5
    with pytest.raises(AppendTimeout):
        await writer.append([b"doubtful"])
    last = (await log.extent()).last
    assert await records(log) == [b"doubtful"][:last]
    with pytest.raises(AppendTimeout):
        await writer.append([b"again"])
    writer = await log.fence(after=last, epoch=2, owner="me")
    assert await writer.append([b"next"]) == last + 2
    await log.close()


async def test_under_interval_an_idle_log_is_synced_by_its_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = replace(SMALL, fsync="interval", fsync_interval_s=0.01)
    log = await SegmentLog.create(DirectoryDisk(tmp_path), options)
    writer = await log.fence(after=-1, epoch=1, owner="me")
    synced = threading.Event()
    monkeypatch.setattr("amqpbroker.storage.disk.DirectoryFile.sync", lambda _: synced.set())
    await writer.append([b"x"])
    assert await anyio.to_thread.run_sync(synced.wait, 5)
    await log.close()


async def test_reading_goes_on_beside_appending_rolling_and_dropping(tmp_path: Path) -> None:
    log = await SegmentLog.create(DirectoryDisk(tmp_path), SMALL)
    writer = await log.fence(after=-1, epoch=1, owner="me")
    for number in range(100):
        await writer.append([b"%d" % number])

    async def append() -> None:
        for number in range(100, 200):
            await writer.append([b"%d" % number])

    async def drop() -> None:
        for victim in log.segments()[1:-1:3]:
            await log.drop(victim.first, victim.last + 1)

    async def read() -> None:
        seen = [int(record) for record in await records(log)]
        assert seen == sorted(set(seen))

    async with anyio.create_task_group() as group:
        for task in (append, drop, read, read, read):
            group.start_soon(task)
    assert {int(record) for record in await records(log)} >= set(range(110, 200))
    await log.close()


async def test_the_first_offset_of_a_time_is_found(tmp_path: Path) -> None:
    clock = itertools.count(0, 10)  # asked once per batch, and once per segment
    options = replace(SMALL, now_ms=clock.__next__)
    log = await SegmentLog.create(DirectoryDisk(tmp_path), options)
    writer = await log.fence(after=-1, epoch=1, owner="me")
    for _ in range(40):
        await writer.append([b"x" * 50])
    batches = [batch async for batch in log.read(0)]
    for batch in batches:
        assert await log.offset_for_time(batch.timestamp_ms - 1) == batch.offset
        assert await log.offset_for_time(batch.timestamp_ms) == batch.offset
    assert await log.offset_for_time(batches[-1].timestamp_ms + 1) is None
    await log.close()
