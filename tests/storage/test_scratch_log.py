"""A log that is thrown away: what it keeps, and that it keeps it no longer."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from amqpbroker.storage.executor import InlineExecutor
from amqpbroker.storage.fake_disk import FakeDisk
from amqpbroker.storage.log import AppendRejected, AppendTimeout, LogError, LogUnavailable
from amqpbroker.storage.scratch_log import ScratchDisk, ScratchLog, discard
from tests.storage.backends import ENCRYPTED, SMALL

if TYPE_CHECKING:
    from pathlib import Path

    from amqpbroker.storage.options import LogOptions

RECORD = b"secret" * 20


def on(disk: FakeDisk, options: LogOptions = SMALL) -> ScratchLog:
    return ScratchLog(disk, options, executor=InlineExecutor())


async def filled(log: ScratchLog, count: int) -> list[tuple[int, int]]:
    return [await log.append([RECORD, b"%d" % number]) for number in range(count)]


def read(log: ScratchLog, offset: int) -> bytes | None:
    """Return the last record of the batch at an offset, None if there is none."""
    found = [batch for batch in log.read_now(offset) if batch.offset == offset]
    return found[0].records[-1] if found else None


async def test_nothing_is_made_before_it_is_needed(tmp_path: Path) -> None:
    log = ScratchLog(ScratchDisk(tmp_path / "spill"), SMALL)
    assert log.read_now(0) == []
    await log.drop(0, 9)
    await log.clear()
    assert not (tmp_path / "spill").exists()


async def test_batches_come_back_from_their_segments() -> None:
    log = on(FakeDisk())
    places = await filled(log, 12)
    assert len({first for _, first in places}) > 2
    assert [read(log, offset) for offset, _ in places] == [b"%d" % n for n in range(12)]


async def test_a_segment_is_dropped_alone() -> None:
    disk = FakeDisk()
    log = on(disk)
    places = await filled(log, 12)
    first, second = sorted({first for _, first in places})[:2]
    before = disk.used()
    await log.drop(first, second)
    assert disk.used() < before
    kept = [read(log, offset) is not None for offset, _ in places]
    assert kept == [offset >= second for offset, _ in places]


async def test_nothing_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sync(descriptor: int) -> None:
        raise AssertionError

    log = ScratchLog(ScratchDisk(tmp_path), SMALL)
    monkeypatch.setattr("os.fsync", sync)
    monkeypatch.setattr("os.fdatasync", sync)
    await filled(log, 9)
    await log.clear()
    assert ScratchDisk(tmp_path).names() == []


async def test_offsets_go_on_when_all_is_deleted() -> None:
    disk = FakeDisk()
    log = on(disk)
    before = [offset for offset, _ in await filled(log, 5)]
    await log.clear()
    assert disk.names() == []
    after = [offset for offset, _ in await filled(log, 5)]
    assert min(after) > max(before)
    assert [read(log, offset) for offset in before] == [None] * 5
    assert read(log, after[3]) == b"3"


async def test_what_was_left_behind_is_thrown_away() -> None:
    disk = FakeDisk()
    await filled(on(disk), 5)
    disk.restart(power_cut=False)
    log = on(disk)
    ((offset, _),) = await filled(log, 1)
    assert read(log, offset) == b"0"
    assert read(log, offset + 1) is None
    await log.clear()
    discard(disk)
    assert disk.names() == []


async def test_it_is_encrypted_with_the_key_of_the_others() -> None:
    disk = FakeDisk()
    log = on(disk, ENCRYPTED)
    ((offset, _),) = await filled(log, 1)
    for name in disk.names():
        file = disk.open_to_read(name)
        assert b"secret" not in file.read(0, file.size())
    assert read(log, offset) == b"0"


async def test_a_full_disk_is_told_and_may_pass() -> None:
    disk = FakeDisk()
    disk.capacity = 100
    log = on(disk)
    with pytest.raises((AppendRejected, LogUnavailable)):
        await filled(log, 1)
    disk.capacity = None
    ((offset, _),) = await filled(log, 1)
    assert read(log, offset) == b"0"


async def test_after_a_write_that_failed_it_is_of_use_once_it_was_cleared() -> None:
    disk = FakeDisk()
    log = on(disk)
    ((offset, _),) = await filled(log, 1)
    disk.faults = {disk.operations: errno.EIO}
    for _ in range(2):
        with pytest.raises(AppendTimeout):
            await filled(log, 1)
    assert read(log, offset) == b"0"
    await log.clear()
    ((offset, _),) = await filled(log, 1)
    assert read(log, offset) == b"0"


async def test_damage_is_told_with_what_to_do() -> None:
    disk = FakeDisk()
    log = on(disk)
    ((offset, _),) = await filled(log, 1)
    (name,) = [name for name in disk.names() if name.endswith(".log")]
    disk.open(name).write(200, b"?")
    with pytest.raises(LogError, match=r"wrong checksum.*restart the broker"):
        log.read_now(offset)
