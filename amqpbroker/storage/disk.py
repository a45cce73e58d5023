"""The only door from the log to the operating system, small enough to be faked whole.

A `Disk` is one directory, a `File` one file in it. `DirectoryDisk` is the real one, `FakeDisk`
(in `fake_disk`) an imaginary one that loses, tears and refuses. What counts, on both:

- what was written is on the disk after `File.sync`, and not before;
- a name that was created, renamed or removed stays so after `Disk.sync_names`, and not before;
- a failed sync says nothing about what is on the disk, and a second one says nothing either.

Everything raises OSError and nothing else.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""The errors that mean: not all of it was written, and it may work later."""

_LOCK_NAME: Final = "lock"
_NO_PREALLOCATION: Final = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})
_FILE_MODE: Final = 0o600


class File(Protocol):
    """An open file. Positions and sizes are in bytes."""

    def read(self, position: int, size: int) -> bytes:
        """Return ``size`` bytes from ``position``, fewer only at the end of the file."""
        ...

    def write(self, position: int, *pieces: bytes) -> None:
        """Write all the pieces, one behind the other."""
        ...

    def sync(self) -> None:
        """Put what was written (and the size) on the disk: fdatasync."""
        ...

    def allocate(self, size: int) -> None:
        """Make the file at least ``size`` bytes long, zeros at the end, with its space reserved."""
        ...

    def truncate(self, size: int) -> None:
        """Cut the file to ``size`` bytes, or lengthen it with zeros."""
        ...

    def size(self) -> int:
        """Return the length."""
        ...

    def close(self) -> None:
        """Close; idempotent."""
        ...


class Disk(Protocol):
    """One directory."""

    def path_of(self, name: str) -> str:
        """Return the full path, for messages."""
        ...

    def exists(self) -> bool:
        """Return whether the directory is there."""
        ...

    def create_directory(self) -> None:
        """Make the directory itself, durably; nothing where it exists."""
        ...

    def names(self) -> Sequence[str]:
        """Return the names of the files, sorted."""
        ...

    def open(self, name: str) -> File:
        """Open an existing file for reading and writing."""
        ...

    def open_to_read(self, name: str) -> File:
        """Open an existing file for reading."""
        ...

    def create(self, name: str) -> File:
        """Open a file for reading and writing, empty whether it existed or not."""
        ...

    def rename(self, name: str, new_name: str) -> None:
        """Rename, replacing what had the new name."""
        ...

    def remove(self, name: str) -> None:
        """Delete the file; quietly where there is none."""
        ...

    def sync_names(self) -> None:
        """Put the names on the disk: fsync of the directory."""
        ...

    def lock(self) -> None:
        """Take the directory for this opener alone; BlockingIOError where it is taken."""
        ...

    def unlock(self) -> None:
        """Give the directory back; idempotent."""
        ...


class DirectoryDisk:
    """The real `Disk`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._lock: int | None = None

    def _file(self, descriptor: int) -> DirectoryFile:
        return DirectoryFile(descriptor)

    def path_of(self, name: str) -> str:
        """See `Disk.path_of`."""
        return str(self._path / name)

    def exists(self) -> bool:
        """See `Disk.exists`."""
        return self._path.is_dir()

    def create_directory(self) -> None:
        """See `Disk.create_directory`."""
        missing = [path for path in (self._path, *self._path.parents) if not path.exists()]
        self._path.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in missing:
            DirectoryDisk(path.parent).sync_names()

    def names(self) -> Sequence[str]:
        """See `Disk.names`."""
        return sorted(os.listdir(self._path))

    def open(self, name: str) -> DirectoryFile:
        """See `Disk.open`."""
        return self._file(os.open(self._path / name, os.O_RDWR | os.O_CLOEXEC))

    def open_to_read(self, name: str) -> DirectoryFile:
        """See `Disk.open_to_read`."""
        return self._file(os.open(self._path / name, os.O_RDONLY | os.O_CLOEXEC))

    def create(self, name: str) -> DirectoryFile:
        """See `Disk.create`."""
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        return self._file(os.open(self._path / name, flags, _FILE_MODE))

    def rename(self, name: str, new_name: str) -> None:
        """See `Disk.rename`."""
        os.replace(self._path / name, self._path / new_name)

    def remove(self, name: str) -> None:
        """See `Disk.remove`."""
        with suppress(FileNotFoundError):
            os.unlink(self._path / name)

    def sync_names(self) -> None:
        """See `Disk.sync_names`."""
        directory = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def lock(self) -> None:
        """See `Disk.lock`. The lock dies with the process, however it dies (flock)."""
        lock = os.open(self._path / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise
        self._lock = lock

    def unlock(self) -> None:
        """See `Disk.unlock`."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


class DirectoryFile:
    """The real `File`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self, position: int, size: int) -> bytes:
        """See `File.read`."""
        data = os.pread(self._descriptor, size, position)
        if len(data) == size or not data:
            return data
        pieces = [data]  # a signal or a huge read may come short before the end
        while data:
            position += len(data)
            size -= len(data)
            data = os.pread(self._descriptor, size, position)
            pieces.append(data)
        return b"".join(pieces)

    def write(self, position: int, *pieces: bytes) -> None:
        """See `File.write`."""
        size = sum(map(len, pieces))
        written = os.pwritev(self._descriptor, pieces, position)
        if written == size:
            return
        rest = memoryview(b"".join(pieces))
        while written < size:
            written += os.pwrite(self._descriptor, rest[written:], position + written)

    def sync(self) -> None:
        """See `File.sync`."""
        getattr(os, "fdatasync", os.fsync)(self._descriptor)

    def allocate(self, size: int) -> None:
        """See `File.allocate`. A sparse file where the file system cannot reserve."""
        if size <= self.size():
            return
        try:
            os.posix_fallocate(self._descriptor, 0, size)
        except AttributeError:  # macOS
            self.truncate(size)
        except OSError as error:
            if error.errno not in _NO_PREALLOCATION:
                raise
            self.truncate(size)

    def truncate(self, size: int) -> None:
        """See `File.truncate`."""
        os.ftruncate(self._descriptor, size)

    def size(self) -> int:
        """See `File.size`."""
        return os.fstat(self._descriptor).st_size

    def close(self) -> None:
        """See `File.close`."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
