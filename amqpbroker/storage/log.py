"""The seam between the queue engine and the bytes: what every log backend promises.

A log is a sequence of *batches*. A batch is a tuple of records (bytes, opaque to the log), it is
appended as a whole or not at all, and it has one *offset*. Offsets are dense: 0, 1, 2, … in the
order in which the appends took effect. A record is addressed (offset, index in its batch).

::

    LogError
    ├── AppendTimeout     outcome unknown; the writer is dead, only a fresh fence tells
    ├── Fenced            somebody else appended; the writer is dead
    ├── AppendRejected    definite no; nothing was written, the writer is as usable as before
    ├── Truncated         that offset was trimmed away
    ├── Corrupt           a hole, a bad checksum, an epoch going back: stop the shard, alarm
    ├── LogMissing        there is no log there; it is never created by accident
    └── LogUnavailable    cannot be reached now: locked, unreadable, newer format, wrong key

**Who may write.** `Log.fence` appends an *epoch batch*, on the condition that the log still ends
where the caller believes. Whoever succeeds owns the log until somebody fences again; a writer
that was overtaken gets `Fenced` and nothing of it lands any more. To take over: read to the end,
``fence(after=last seen, epoch=highest seen + 1)``, start again with reading on `Fenced`.

**After AppendTimeout** the batch may be there, may not be there, and on a remote backend may
still land later. Drop the writer, read from the last known offset on, and fence: the successful
fence closes the question, for the late batch too.

This interface is fixed (DESIGN.md, section 6). Backends: `memory`, `segment_log`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from uuid import UUID

T = TypeVar("T")

Offset: TypeAlias = int
"""The number of a batch in its log, from 0. (A *position* is a byte in a file.)"""

REPAIR_COMMAND = "amqpbroker log repair"
"""What a human runs when a log is `Corrupt`."""


class LogError(Exception):
    """What a log raises; catch the leaves, they want different answers."""


class AppendTimeout(LogError):
    """The batch may or may not be in the log; the writer raises nothing else from now on.

    Also raised for a failed fsync: what of the file reached the disk is then unknown, and asking
    again would lie (the kernel forgets dirty pages whose write-back failed).
    """


class Fenced(LogError):
    """The log does not end where the caller believes, or a higher epoch owns it.

    From `Log.fence`: nothing was appended. From `Writer.append`: the batch is not in the log and
    never will be; the writer raises nothing else from now on.
    """


class AppendRejected(LogError):
    """The batch is not in the log and never will be: too large, no space left.

    The writer stays usable; the same append may succeed later (when there is space again).
    """


class Truncated(LogError):
    """An offset below `Extent.first` was asked for."""

    def __init__(self, offset: Offset, first: Offset) -> None:
        super().__init__(f"offset {offset} was trimmed away, the log starts at {first}")
        self.offset = offset
        self.first = first


class Corrupt(LogError):
    """What is stored is not what was written. Carries where, and says how to repair.

    ``path`` names the file (or the remote log), ``position`` the byte in it or None when the
    damage has no place (a missing file).
    """

    def __init__(self, path: str, position: int | None, reason: str) -> None:
        at = "" if position is None else f", position {position}"
        super().__init__(f"{path}{at}: {reason}; look with `amqpbroker log verify`, "
                         f"mend with `{REPAIR_COMMAND}`")  # fmt: skip
        self.path = path
        self.position = position
        self.reason = reason


class LogMissing(LogError):
    """No log exists there. Never answered by creating one: it may be a disk not mounted."""


class LogUnavailable(LogError):
    """The log cannot be used now; it is not damaged. The text says what to do."""


class Batch(NamedTuple):
    """One appended batch, verified.

    An *epoch batch* (written by `Log.fence`) has an ``owner`` and no records; every other batch
    has ``owner`` None and one record or more. ``epoch`` is 1 or more and never
    falls from batch to batch.
    ``timestamp_ms`` is the wall clock of the writer in milliseconds since 1970; it may go back.
    """

    offset: Offset
    epoch: int
    timestamp_ms: int
    records: Sequence[bytes]
    owner: str | None = None


class Extent(NamedTuple):
    """What a log holds: offsets ``first`` to ``last``, both included.

    A new log has ``first`` 0 and ``last`` -1. Once something was appended the log is never empty
    again (`Log.trim` keeps the last batch), so the epoch in force can always be read from
    ``last``. ``incarnation`` is born with the log: another one means another log.
    """

    first: Offset
    last: Offset
    incarnation: UUID


class SegmentExtent(NamedTuple):
    """One segment: offsets ``first`` to ``last`` (both included), ``size`` bytes of disk."""

    first: Offset
    last: Offset
    size: int


class Writer(Protocol):
    """The right to append, until somebody else fences."""

    async def append(self, records: Sequence[bytes]) -> Offset:
        """Append one batch and return its offset, previous last + 1.

        All or nothing. Durable when it returns, as far as the log's fsync policy promises. ONE
        outstanding call per writer (RuntimeError otherwise). Cancelling the caller never cancels
        the append. ``records`` is not empty (ValueError) and must not be changed meanwhile.

        Raises AppendRejected (writer usable), AppendTimeout or Fenced (writer dead).
        """
        ...


class Log(Protocol):
    """A log on some backend."""

    @property
    def batch_size_max(self) -> int:
        """Bytes: the sum of the record sizes of one batch, at most."""
        ...

    async def extent(self) -> Extent:
        """Return the offsets held now; ``last`` counts durable batches only.

        Raises LogUnavailable, LogMissing.
        """
        ...

    def read(self, start: Offset, stop: Offset | None = None) -> AsyncIterator[Batch]:
        """Yield the batches ``start`` ≤ offset < ``stop`` in order, verified.

        Dense: every offset of the range comes, except those that `SegmentedLog.drop` deleted.
        Never beyond the last batch that was durable when the iteration began; ``start`` beyond
        the end yields nothing. A batch trimmed away while the iteration stands before it still
        comes, or raises.

        Raises Truncated (``start`` below `Extent.first`), Corrupt, LogUnavailable.
        """
        ...

    async def fence(self, *, after: Offset, epoch: int, owner: str) -> Writer:
        """Append an epoch batch at ``after`` + 1 and return the one live writer.

        Only if ``after`` is still the last offset (-1: the log is new) and ``epoch`` is higher
        than every epoch in the log (a new log counts as epoch 0). ``owner`` is for
        humans, at most 255 bytes of UTF-8.

        Raises Fenced (nothing appended), AppendRejected (no space; nothing appended),
        AppendTimeout (unknown: read again, fence again), LogUnavailable.
        """
        ...

    async def trim(self, before: Offset) -> None:
        """Forget the batches below ``before``: idempotent, monotone.

        A backend deletes what it can delete cheaply (whole segments) and keeps the last batch in
        any case, so afterwards ``extent().first`` ≤ ``before``. Raises LogUnavailable.
        """
        ...


class SegmentedLog(Log, Protocol):
    """A log that can also delete in the middle, a whole segment at a time.

    The shard log counts what is alive per segment: a segment without live records is dropped
    although older ones still live; the survivors of a thin one are appended again, and then it
    is dropped. Offsets stay dense in the sense that each one is either yielded by `read` or known
    as dropped; they are never given out again.
    """

    def segments(self) -> Sequence[SegmentExtent]:
        """Return the segments in order, without gaps for what was dropped; the last is active."""
        ...

    def dropped(self) -> Sequence[range]:
        """Return the dropped offsets above `Extent.first`: disjoint, sorted, merged."""
        ...

    async def drop(self, start: Offset, stop: Offset) -> None:
        """Delete the segments that lie wholly in ``start`` ≤ offset < ``stop``.

        The active segment is kept in any case. Idempotent. Survives a crash at any point: done,
        not done, or finished by the next opening. Raises LogUnavailable.
        """
        ...

    def read_now(self, start: Offset) -> Sequence[Batch]:
        """Return the batch at ``start``, and those behind it that the same read has brought.

        Blocks for one read of a bounded size, or of one batch if that is larger; for what is
        needed at once and seldom, or from a thread. What was dropped is left out, beyond the end
        there is nothing. Raises Truncated, Corrupt, LogUnavailable.
        """
        ...

    async def run_aside(self, job: Callable[[], T]) -> T:
        """Run a job that reads where reading holds nobody up; return or raise what it does."""
        ...

    async def close(self) -> None:
        """Make everything durable, release the lock; idempotent. Live writers die (Fenced)."""
        ...
