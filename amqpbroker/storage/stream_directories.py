"""Partitions on a disk: a directory each, named by number, with `segment_log` in it.

::

    streams/17/00000000000000000000.log  ….index  ….timeindex  manifest  lock  tracked

A few threads write for all of them; a partition always has the same one, which keeps its order.
"""

from __future__ import annotations

import shutil
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from anyio import to_thread

from amqpbroker.storage.disk import DirectoryDisk
from amqpbroker.storage.executor import SharedExecutor, ThreadExecutor
from amqpbroker.storage.log import LogMissing
from amqpbroker.storage.manifest import replace_file
from amqpbroker.storage.recovery import unavailable
from amqpbroker.storage.segment_log import SegmentLog

if TYPE_CHECKING:
    from pathlib import Path

    from amqpbroker.storage.options import LogOptions

THREAD_COUNT: Final = 4
TRACKED_NAME: Final = "tracked"
RESERVE_SIZE: Final = 1 << 20
READ_SIZE: Final = 256 << 10


class StreamDirectories:
    """See the module."""

    def __init__(self, root: Path, options: LogOptions) -> None:
        self._root = root
        self._options = replace(options, read_size=READ_SIZE, reserve_size=RESERVE_SIZE)
        self._threads = [ThreadExecutor(f"streams {number}") for number in range(THREAD_COUNT)]

    async def open(self, number: int, segment_size: int) -> SegmentLog:
        """Open a partition's log; it is made if it is not there. Raises LogError."""
        disk = DirectoryDisk(self._root / str(number))
        options = replace(self._options, segment_size=segment_size)
        executor = SharedExecutor(self._threads[number % THREAD_COUNT])
        try:
            await to_thread.run_sync(disk.create_directory)
        except OSError as error:
            raise unavailable(disk.path_of(""), error) from error
        try:
            return await SegmentLog.open(disk, options, executor=executor)
        except LogMissing:
            return await SegmentLog.create(disk, options, executor=executor)

    async def remove(self, number: int) -> None:
        """Delete a partition's directory, if there is one. Raises LogUnavailable."""
        path = self._root / str(number)
        try:
            if await to_thread.run_sync(path.is_dir):
                await to_thread.run_sync(shutil.rmtree, path)
        except OSError as error:
            raise unavailable(str(path), error) from error

    async def numbers(self) -> list[int]:
        """Return the numbers of all partitions that are there."""
        return await to_thread.run_sync(self._numbers)

    async def load_tracked(self, number: int) -> bytes:
        """Return the file beside the log, ``{}`` where there is none. Raises LogUnavailable."""
        disk = DirectoryDisk(self._root / str(number))

        def load() -> bytes:
            try:
                with closing(disk.open_to_read(TRACKED_NAME)) as file:
                    return file.read(0, file.size())
            except FileNotFoundError:
                return b"{}"

        try:
            return await to_thread.run_sync(load)
        except OSError as error:
            raise unavailable(disk.path_of(TRACKED_NAME), error) from error

    async def store_tracked(self, number: int, data: bytes) -> None:
        """Replace the file beside the log durably. Raises LogUnavailable."""
        disk = DirectoryDisk(self._root / str(number))
        thread = self._threads[number % THREAD_COUNT]
        try:
            await thread.write(lambda: replace_file(disk, TRACKED_NAME, data))
        except OSError as error:
            raise unavailable(disk.path_of(TRACKED_NAME), error) from error

    def _numbers(self) -> list[int]:
        if not self._root.is_dir():
            return []
        return sorted(int(path.name) for path in self._root.iterdir() if path.name.isdecimal())

    def close(self) -> None:
        """End the threads; all logs are closed."""
        for thread in self._threads:
            thread.close()
