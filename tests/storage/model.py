"""A log on a fake disk beside a plain dict that says what it must hold.

`Driver` performs steps on both. `check` opens what a crash left and compares: everything that was
acknowledged is there unless it was trimmed or dropped, nothing else is there except perhaps the
one batch whose outcome nobody was told.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Literal, TypeAlias
from uuid import UUID

from amqpbroker.storage.log import (
    AppendRejected,
    AppendTimeout,
    Batch,
    Fenced,
    LogMissing,
    LogUnavailable,
    Offset,
)
from amqpbroker.storage.reader import Reader
from amqpbroker.storage.segment_log import create_store, open_store
from tests.storage.backends import SMALL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from amqpbroker.storage.fake_disk import FakeDisk
    from amqpbroker.storage.options import FsyncPolicy, LogOptions
    from amqpbroker.storage.segment_store import SegmentStore

Step: TypeAlias = tuple[Literal["append", "fence", "trim", "drop", "reopen"], int]
Value: TypeAlias = tuple[str | None, tuple[bytes, ...]]


def read_all(store: SegmentStore, start: Offset | None = None) -> list[Batch]:
    """Return what a reader finds from ``start`` (None: the first offset) on."""
    reader = Reader(store, store.manifest.first if start is None else start, None)
    batches = []
    while piece := reader.next_piece():
        batches += piece
    return batches


def value_of(batch: Batch) -> Value:
    return batch.owner, tuple(batch.records)


class Driver:
    """See the module. ``store`` is None while nothing is open."""

    def __init__(self, disk: FakeDisk, options: LogOptions = SMALL) -> None:
        self.disk = disk
        self.options = options
        self.store: SegmentStore | None = None
        self.acked: dict[Offset, Value] = {}
        self.deletable: set[Offset] = set()
        self.doubt: tuple[Offset, Value] | None = None
        self.was_created = False
        self.synced_last = -1
        self._generation = 0
        self._epoch = 0
        self._count = 0

    def run(self, script: Sequence[Step]) -> None:
        """Do all steps; the errors that a log may raise under faults are part of the play."""
        for name, number in script:
            with suppress(LogUnavailable, Fenced, AppendRejected, AppendTimeout):
                self._open()
                getattr(self, name)(number)
        with suppress(LogUnavailable, AppendRejected, AppendTimeout):
            self._open()

    def check(self) -> None:
        """Open what is on the disk and compare; afterwards nothing is in doubt any more."""
        with suppress(LogUnavailable, AppendRejected, AppendTimeout):
            self._open()
        if self.store is None:
            assert not self.was_created
            return
        self.store.settle()
        self._compare(self.store)

    def append(self, size: int) -> None:
        """Append one batch of ``size`` bytes; with a new writer if the old one timed out."""
        assert self.store is not None
        if self.doubt is not None:
            self.fence()
        self._count += 1
        records = (b"%d" % self._count, b"x" * size)
        self.doubt = self.store.last + 1, (None, records)
        try:
            offset = self.store.append(self._generation, records)
        except AppendTimeout:
            raise
        except (AppendRejected, Fenced):
            self.doubt = None
            raise
        self._ack(offset)

    def fence(self, _: int = 0) -> None:
        """Take the log over, as after a time-out."""
        assert self.store is not None
        self.store.settle()
        self._compare(self.store)
        self._epoch = max(self._epoch, self.store.epoch) + 1
        self.doubt = self.store.last + 1, (f"e{self._epoch}", ())
        try:
            self._generation = self.store.fence(self.store.last, self._epoch, f"e{self._epoch}")
        except (AppendRejected, LogUnavailable):
            self.doubt = None
            raise
        self._ack(self.store.last)
        self.synced_last = self.store.last

    def trim(self, number: int) -> None:
        """Trim below a percentage of the offsets."""
        assert self.store is not None
        before = self.store.last * number // 100
        self.deletable.update(range(before))
        self.store.drop(0, before)

    def drop(self, number: int) -> None:
        """Drop one segment."""
        assert self.store is not None
        segments = self.store.extents()
        if segments:
            victim = segments[number % len(segments)]
            self.deletable.update(range(victim.first, victim.last + 1))
            self.store.drop(victim.first, victim.last + 1)

    def reopen(self, number: int) -> None:
        """Close (an even number) or just forget the log, and open it again."""
        assert self.store is not None
        if number % 2 == 0:
            self.store.close()
        self.crash(power_cut=False)
        self.check()
        self.fence()

    def crash(self, *, power_cut: bool) -> None:
        """Lose everything in memory, and with ``power_cut`` what was not synced."""
        self.disk.restart(power_cut=power_cut)
        self.store = None

    def _ack(self, offset: Offset) -> None:
        assert self.doubt is not None
        assert offset == self.doubt[0]
        self.acked[offset] = self.doubt[1]
        self.doubt = None

    def _open(self) -> None:
        if self.store is not None and not self.store.is_closed:
            return
        self.store = None
        try:
            self.store = open_store(self.disk, self.options)
        except LogMissing:
            assert not self.was_created
            self.store = create_store(self.disk, self.options, UUID(int=7))
        self.was_created = True
        self._compare(self.store)
        self.fence()

    def _compare(self, store: SegmentStore) -> None:
        found = {batch.offset: value_of(batch) for batch in read_all(store)}
        expected = dict(self.acked)
        if self.doubt is not None and self.doubt[0] in found:
            expected[self.doubt[0]] = self.doubt[1]
        expected = self._may_have_lost(expected, store.last)
        kept = {o: value for o, value in expected.items() if o not in self.deletable}
        assert kept.items() <= found.items()
        assert found.items() <= expected.items()
        assert store.last == max(expected, default=-1)
        gone = {o for item in store.manifest.gone for o in item}
        assert sorted({*found, *gone}) == list(range(store.last + 1))
        self.acked, self.doubt = expected, None

    def _may_have_lost(self, expected: dict[Offset, Value], last: Offset) -> dict[Offset, Value]:
        """Under a weaker fsync policy only a beginning must be there after a power cut."""
        if self.options.fsync == "always":
            return expected
        assert last >= self.synced_last
        return {o: value for o, value in expected.items() if o <= last}


def with_policy(policy: FsyncPolicy) -> LogOptions:
    """Return the small options with another fsync policy and a clock that ticks when asked."""
    return replace(SMALL, fsync=policy, fsync_interval_s=3.0, monotonic=count().__next__)
