"""The fake disk keeps its promises, and breaks all others."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from amqpbroker.storage.fake_disk import FakeDisk, PowerCut

if TYPE_CHECKING:
    from collections.abc import Callable

SEEDS = range(40)


def after_power_cut(change: Callable[[FakeDisk], None]) -> set[bytes | None]:
    """Return what the file ``f``, once durably b"old", holds afterwards, over many seeds."""
    seen: set[bytes | None] = set()
    for seed in SEEDS:
        disk = FakeDisk(seed)
        file = disk.create("f")
        file.write(0, b"old")
        file.sync()
        disk.sync_names()
        change(disk)
        disk.restart(power_cut=True)
        seen.add(disk.content("f") if "f" in disk.names() else None)
    return seen


def write(disk: FakeDisk) -> None:
    disk.open("f").write(0, b"new")


def test_what_was_not_synced_may_be_there_or_lost_or_torn() -> None:
    assert {b"old", b"new", b"nld"} <= after_power_cut(write)


def test_what_was_synced_stays() -> None:
    def change(disk: FakeDisk) -> None:
        file = disk.open("f")
        file.write(0, b"ne", b"w")
        file.sync()

    assert after_power_cut(change) == {b"new"}


def test_a_name_not_synced_may_come_back() -> None:
    assert after_power_cut(lambda disk: disk.remove("f")) == {b"old", None}


def test_a_synced_name_stays_gone() -> None:
    def change(disk: FakeDisk) -> None:
        disk.remove("f")
        disk.sync_names()

    assert after_power_cut(change) == {None}


def test_a_rename_replaces_at_once_or_not_at_all() -> None:
    def change(disk: FakeDisk) -> None:
        file = disk.create("g")
        file.write(0, b"new")
        file.sync()
        disk.rename("g", "f")

    assert after_power_cut(change) == {b"old", b"new"}


def test_after_a_failed_sync_the_next_one_lies() -> None:
    def change(disk: FakeDisk) -> None:
        file = disk.open("f")
        file.write(0, b"new")
        disk.faults[disk.operations] = errno.EIO
        with pytest.raises(OSError, match="Input/output"):
            file.sync()
        file.sync()
        assert disk.content("f") == b"new"

    assert {b"old", b"new"} <= after_power_cut(change)


def test_a_killed_process_loses_nothing_it_wrote() -> None:
    disk = FakeDisk()
    disk.lock()
    disk.create("f").write(0, b"x")
    disk.restart(power_cut=False)
    disk.lock()
    assert disk.content("f") == b"x"


def test_nothing_works_after_the_cut_until_the_restart() -> None:
    disk = FakeDisk()
    file = disk.create("f")
    disk.cut_power_at = disk.operations
    for _ in range(2):
        with pytest.raises(PowerCut):
            file.write(0, b"x")
    with pytest.raises(PowerCut):
        disk.names()
    disk.restart(power_cut=True)
    disk.names()


def test_a_full_disk_takes_what_fits_and_refuses() -> None:
    disk = FakeDisk()
    disk.capacity = 10
    file = disk.create("f")
    file.allocate(8)
    with pytest.raises(OSError, match="No space"):
        file.allocate(11)
    with pytest.raises(OSError, match="No space"):
        file.write(6, b"abcdefgh")
    assert disk.content("f") == b"\0" * 6 + b"abcd"
    file.write(0, b"0123456789")
    file.truncate(3)
    assert disk.used() == 3


def test_the_same_seed_has_the_same_fate() -> None:
    def play(seed: int) -> bytes:
        disk = FakeDisk(seed)
        file = disk.create("f")
        disk.sync_names()
        for number in range(20):
            file.write(number, b"%d" % number)
        disk.restart(power_cut=True)
        return disk.content("f")

    assert play(3) == play(3)
    assert len({play(seed) for seed in SEEDS}) > 10


def test_files_and_locks_fail_as_real_ones_do() -> None:
    disk = FakeDisk()
    with pytest.raises(FileNotFoundError):
        disk.open("none")
    disk.create("f").close()
    with pytest.raises(OSError, match="Bad file"):
        disk.open_to_read("f").write(0, b"x")
    file = disk.open("f")
    file.close()
    with pytest.raises(OSError, match="Bad file"):
        file.read(0, 1)
    disk.lock()
    with pytest.raises(BlockingIOError):
        disk.lock()
    disk.unlock()
    disk.lock()
