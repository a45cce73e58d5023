"""A log for what nobody needs when the process is gone: memory that lies on the disk.

It is an ordinary `SegmentLog`, with its checksums and its encryption, but nothing is ever synced.
It is made when something is appended for the first time, and deleted as a whole by `clear`, and by
whoever starts next (`discard`). Offsets go on after that: none is ever given out twice.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from amqpbroker.storage.disk import DirectoryDisk, DirectoryFile
from amqpbroker.storage.log import Corrupt, LogError, Truncated
from amqpbroker.storage.recovery import unavailable
from amqpbroker.storage.segment_log import SegmentLog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from amqpbroker.storage.disk import Disk
    from amqpbroker.storage.executor import Executor
    from amqpbroker.storage.log import Batch, Offset, Writer
    from amqpbroker.storage.options import LogOptions

_OWNER: Final = "scratch"


class ScratchLog:
    """See the module. One call of a coroutine at a time; ``read_now`` in any thread."""

    def __init__(
        self, disk: Disk, options: LogOptions, *, executor: Executor | None = None
    ) -> None:
        self._disk = disk
        self._options = replace(options, fsync="never")
        self._executor = executor
        self._log: SegmentLog | None = None
        self._writer: Writer | None = None
        self._start = 0
        """The offset of the first batch of the log that is there now."""
        self._next = 0
        """Behind the last offset that was given out."""

    @property
    def path(self) -> str:
        """Where it lies."""
        return self._disk.path_of("")

    async def append(self, records: Sequence[bytes]) -> tuple[Offset, Offset]:
        """Append a batch; return its offset, and that of the segment it lies in.

        Raises :class:`~amqpbroker.storage.log.LogError`: it is not there.
        """
        if self._log is None:
            self._log = await self._create()
        log = self._log
        if self._writer is None:
            self._writer = await log.fence(after=-1, epoch=1, owner=_OWNER)
        offset = self._start + await self._writer.append(records)
        self._next = offset + 1
        return offset, self._start + log.active().first

    async def _create(self) -> SegmentLog:
        try:
            self._disk.create_directory()
            discard(self._disk)
        except OSError as error:
            raise unavailable(self.path, error) from error
        return await SegmentLog.create(self._disk, self._options, executor=self._executor)

    def read_now(self, offset: Offset) -> Sequence[Batch]:
        """Return the batch at an offset, and those behind it that the same read has brought.

        Nothing for what was deleted. Raises :class:`~amqpbroker.storage.log.LogUnavailable`, or
        another :class:`~amqpbroker.storage.log.LogError` if it is not what was written.
        """
        log, start = self._log, self._start
        if log is None or offset < start:
            return []
        try:
            found = log.read_now(offset - start)
        except Truncated:
            return []
        except Corrupt as error:
            raise LogError(
                f"{error.path}: {error.reason}; it holds only what is not kept anyway: restart the "
                "broker, which throws it away"
            ) from None
        return [batch._replace(offset=start + batch.offset) for batch in found]

    async def drop(self, first: Offset, stop: Offset) -> None:
        """Delete the segments that lie wholly in this range, but for the last one.

        Raises :class:`~amqpbroker.storage.log.LogUnavailable`.
        """
        if self._log is not None:
            await self._log.drop(first - self._start, stop - self._start)

    async def clear(self) -> None:
        """Delete everything; what cannot be deleted is left to whoever starts next."""
        log, self._log, self._writer = self._log, None, None
        if log is not None:
            self._start = self._next
            await log.close()
            with suppress(OSError):
                discard(self._disk)


def discard(disk: Disk) -> None:
    """Delete what a scratch log has left behind. Raises OSError."""
    if disk.exists():
        for name in disk.names():
            disk.remove(name)


class ScratchDisk(DirectoryDisk):
    """A directory that may be gone after a crash of the system."""

    def sync_names(self) -> None:
        """Do nothing."""

    def _file(self, descriptor: int) -> DirectoryFile:
        return _ScratchFile(descriptor)


class _ScratchFile(DirectoryFile):
    def sync(self) -> None:
        """Do nothing."""
