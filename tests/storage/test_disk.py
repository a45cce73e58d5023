"""The real disk: what the fake one imitates."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from amqpbroker.storage.disk import DirectoryDisk

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_written_in_pieces_is_read_at_its_position(tmp_path: Path) -> None:
    file = DirectoryDisk(tmp_path).create("f")
    file.write(3, b"ab", b"", b"cd")
    file.sync()
    assert file.read(0, 100) == b"\0\0\0abcd"
    assert file.read(5, 1) == b"c"
    assert file.read(50, 1) == b""
    file.close()
    file.close()


def test_allocating_lengthens_with_zeros_and_never_cuts(tmp_path: Path) -> None:
    file = DirectoryDisk(tmp_path).create("f")
    file.write(0, b"abc")
    file.allocate(5)
    file.allocate(1)
    assert file.read(0, 9) == b"abc\0\0"
    file.truncate(2)
    assert file.size() == 2
    file.close()


def test_names_come_and_go(tmp_path: Path) -> None:
    disk = DirectoryDisk(tmp_path / "new" / "log")
    disk.create_directory()
    disk.create("b").close()
    disk.create("a").close()
    disk.rename("b", "c")
    disk.remove("a")
    disk.remove("a")
    disk.sync_names()
    assert disk.names() == ["c"]
    assert disk.path_of("c") == str(tmp_path / "new" / "log" / "c")


def test_only_the_owner_may_read_what_is_written(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        DirectoryDisk(tmp_path).create("f").close()
    finally:
        os.umask(umask)
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o600


def test_a_file_opened_to_read_cannot_be_written(tmp_path: Path) -> None:
    disk = DirectoryDisk(tmp_path)
    disk.create("f").close()
    file = disk.open_to_read("f")
    with pytest.raises(OSError, match="Bad file"):
        file.write(0, b"x")
    file.close()


def test_only_one_opener_has_the_lock(tmp_path: Path) -> None:
    first, second = DirectoryDisk(tmp_path), DirectoryDisk(tmp_path)
    first.lock()
    with pytest.raises(BlockingIOError):
        second.lock()
    first.unlock()
    second.lock()
    second.unlock()
    second.unlock()
