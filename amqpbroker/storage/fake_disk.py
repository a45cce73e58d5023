"""A disk in memory that forgets, tears and refuses, deterministically: the `Disk` of simulations.

It keeps two states of every file and of the directory: what is *visible* (the page cache) and
what is *durable*. A sync makes the first the second. On `restart` after a power cut everything
not synced is decided by the random generator, write by write and name by name: it reached the
disk, it did not, or (a write) only its beginning did. That is harsher than journaling file
systems are, on purpose.

A failed sync behaves as on Linux since 4.13: what was written stays visible, may or may not be
durable, and the next sync succeeds without writing it.

::

    disk = FakeDisk(seed=1)
    disk.cut_power_at = 17            # the 18th operation that changes something raises PowerCut
    disk.faults[5] = errno.EIO        # the 6th one fails
    disk.capacity = 100_000           # bytes
    disk.restart(power_cut=True)      # or False: kill -9, the page cache survives

Operations are counted in ``operations`` from 0: write, sync, allocate, truncate, create, rename,
remove, sync_names. Reading never fails; to damage what is stored, use `damage`.
"""

from __future__ import annotations

import errno
import os
from random import Random
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class PowerCut(BaseException):
    """The machine is off. Not an Exception: nobody must handle it."""


class _Write(NamedTuple):
    position: int
    data: bytes

    def apply(self, content: bytearray) -> None:
        missing = self.position - len(content)
        if missing > 0:
            content.extend(bytes(missing))
        content[self.position : self.position + len(self.data)] = self.data


class _Resize(NamedTuple):
    size: int

    def apply(self, content: bytearray) -> None:
        del content[self.size :]
        content.extend(bytes(self.size - len(content)))


class _Inode:
    def __init__(self, name: str) -> None:
        self.name = name
        self.visible = bytearray()
        self.durable = bytearray()
        self.unsynced: list[_Write | _Resize] = []

    def change(self, operation: _Write | _Resize) -> None:
        operation.apply(self.visible)
        self.unsynced.append(operation)

    def settle(self, random: Random | None) -> None:
        """Bring what is not synced to the disk: all, or what ``random`` lets through."""
        for operation in self.unsynced:
            fate = random.choice(("kept", "lost", "torn")) if random else "kept"
            if random and fate == "torn" and isinstance(operation, _Write):
                size = random.randint(0, len(operation.data))
                operation._replace(data=operation.data[:size]).apply(self.durable)
            elif fate == "kept":
                operation.apply(self.durable)
        self.unsynced.clear()


class _Rename(NamedTuple):
    """A change of the directory: ``name`` goes, ``new_name`` stands for ``inode``."""

    name: str | None
    new_name: str | None
    inode: _Inode | None

    def apply(self, names: dict[str, _Inode]) -> None:
        if self.name is not None:
            names.pop(self.name, None)
        if self.new_name is not None and self.inode is not None:
            names[self.new_name] = self.inode


class FakeDisk:
    """See the module."""

    def __init__(self, seed: int = 0, name: str = "/fake") -> None:
        self.operations = 0
        self.cut_power_at: int | None = None
        self.faults: dict[int, int] = {}
        self.capacity: int | None = None
        self.is_off = False
        self.on_power_cut: Callable[[], None] = lambda: None
        """Called by ``cut_power_at``: for what goes off along with the disk."""
        self.history: list[str] = []
        self._name = name
        self._random = Random(seed)
        self._names: dict[str, _Inode] = {}
        self._durable_names: dict[str, _Inode] = {}
        self._unsynced_names: list[_Rename] = []
        self._is_locked = False

    # What a Disk does

    def path_of(self, name: str) -> str:
        """See `Disk.path_of`."""
        return f"{self._name}/{name}"

    def exists(self) -> bool:
        """See `Disk.exists`: it is there, empty, from the start."""
        self.must_be_on()
        return True

    def create_directory(self) -> None:
        """See `Disk.create_directory`."""
        self.must_be_on()

    def names(self) -> Sequence[str]:
        """See `Disk.names`."""
        self.must_be_on()
        return sorted(self._names)

    def open(self, name: str) -> FakeFile:
        """See `Disk.open`."""
        return FakeFile(self, self._inode(name))

    def open_to_read(self, name: str) -> FakeFile:
        """See `Disk.open_to_read`."""
        return FakeFile(self, self._inode(name), is_writable=False)

    def create(self, name: str) -> FakeFile:
        """See `Disk.create`."""
        self.step(f"create {name}")
        if name in self._names:
            self._names[name].change(_Resize(0))
        else:
            self._change_names(_Rename(None, name, _Inode(name)))
        return FakeFile(self, self._names[name])

    def rename(self, name: str, new_name: str) -> None:
        """See `Disk.rename`."""
        inode = self._inode(name)
        self.step(f"rename {name} {new_name}")
        self._change_names(_Rename(name, new_name, inode))
        inode.name = new_name

    def remove(self, name: str) -> None:
        """See `Disk.remove`."""
        self.must_be_on()
        if name in self._names:
            self.step(f"remove {name}")
            self._change_names(_Rename(name, None, None))

    def sync_names(self) -> None:
        """See `Disk.sync_names`."""
        self.step("sync_names")
        self._durable_names = dict(self._names)
        self._unsynced_names.clear()

    def lock(self) -> None:
        """See `Disk.lock`."""
        self.must_be_on()
        if self._is_locked:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), self._name)
        self._is_locked = True

    def unlock(self) -> None:
        """See `Disk.unlock`."""
        self._is_locked = False

    # What fate does

    def restart(self, *, power_cut: bool) -> None:
        """Begin again after the process died, or (``power_cut``) the whole machine."""
        self.is_off = self._is_locked = False
        self.cut_power_at = None
        self.faults.clear()
        if power_cut:
            self._lose()

    def damage(self, name: str, position: int, data: bytes) -> None:
        """Overwrite what is stored: bit rot."""
        inode = self._names[name]
        for content in (inode.visible, inode.durable):
            content[position : position + len(data)] = data

    def content(self, name: str) -> bytes:
        """Return what is visible of a file."""
        return bytes(self._names[name].visible)

    def used(self) -> int:
        """Return the bytes in use."""
        return sum(len(inode.visible) for inode in self._names.values())

    # What the files ask for

    def step(self, what: str) -> None:
        """Count an operation, and let it fail if it is its turn."""
        self.must_be_on()
        number = self.operations
        self.operations += 1
        self.history.append(what)
        if number == self.cut_power_at:
            self.is_off = True
            self.on_power_cut()
            raise PowerCut(what)
        if number in self.faults:
            code = self.faults[number]
            raise OSError(code, os.strerror(code), what)

    def room_for(self, more: int) -> int:
        """Return how many of ``more`` bytes still fit."""
        return more if self.capacity is None else max(0, min(more, self.capacity - self.used()))

    def part_of(self, size: int) -> int:
        """Return how much of ``size`` bytes a failing write wrote."""
        return self._random.randint(0, size)

    def fail_sync(self, inode: _Inode) -> None:
        """Forget what a sync should have written, except for what luck wrote."""
        inode.settle(self._random)

    def _lose(self) -> None:
        inodes = [*self._names.values(), *self._durable_names.values()]
        for inode in dict.fromkeys(inodes):  # not a set: the order must not depend on chance
            inode.settle(self._random)
            inode.visible = bytearray(inode.durable)
        for change in self._unsynced_names:
            if self._random.random() < 0.5:
                change.apply(self._durable_names)
        self._unsynced_names.clear()
        self._names = dict(self._durable_names)

    def _change_names(self, change: _Rename) -> None:
        change.apply(self._names)
        self._unsynced_names.append(change)

    def _inode(self, name: str) -> _Inode:
        self.must_be_on()
        try:
            return self._names[name]
        except KeyError:
            code = errno.ENOENT
            raise FileNotFoundError(code, os.strerror(code), self.path_of(name)) from None

    def must_be_on(self) -> None:
        """Raise PowerCut while the machine is off."""
        if self.is_off:
            raise PowerCut("the machine is off")


class FakeFile:
    """A file of a `FakeDisk`."""

    def __init__(self, disk: FakeDisk, inode: _Inode, *, is_writable: bool = True) -> None:
        self._disk = disk
        self._inode = inode
        self._is_writable = is_writable
        self._is_open = True

    def read(self, position: int, size: int) -> bytes:
        """See `File.read`."""
        self._check()
        return bytes(self._inode.visible[position : position + size])

    def write(self, position: int, *pieces: bytes) -> None:
        """See `File.write`."""
        self._check()
        data = b"".join(pieces)
        try:
            self._step("write")
        except (OSError, PowerCut):
            # What fails or is cut may have got some way.
            part = data[: self._disk.part_of(len(data))]
            self._inode.change(_Write(position, part))
            raise
        growth = position + len(data) - len(self._inode.visible)
        room = self._disk.room_for(growth) if growth > 0 else growth
        if room < growth:
            data = data[: max(0, len(data) - growth + room)]
            self._inode.change(_Write(position, data))
            raise self._no_space()
        self._inode.change(_Write(position, data))

    def sync(self) -> None:
        """See `File.sync`."""
        try:
            self._step("sync")
        except OSError:
            self._disk.fail_sync(self._inode)
            raise
        self._inode.settle(None)

    def allocate(self, size: int) -> None:
        """See `File.allocate`."""
        self._step("allocate")
        growth = size - len(self._inode.visible)
        if growth > 0:
            if self._disk.room_for(growth) < growth:
                raise self._no_space()
            self._inode.change(_Resize(size))

    def truncate(self, size: int) -> None:
        """See `File.truncate`."""
        self._step("truncate")
        self._inode.change(_Resize(size))

    def size(self) -> int:
        """See `File.size`."""
        self._check()
        return len(self._inode.visible)

    def close(self) -> None:
        """See `File.close`."""
        self._is_open = False

    def _step(self, what: Literal["write", "sync", "allocate", "truncate"]) -> None:
        self._check()
        if not self._is_writable:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF), self._inode.name)
        self._disk.step(f"{what} {self._inode.name}")

    def _check(self) -> None:
        self._disk.must_be_on()
        if not self._is_open:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF), self._inode.name)

    def _no_space(self) -> OSError:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._inode.name)
