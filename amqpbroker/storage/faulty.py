"""An in-memory log that fails where it is told to: for testing what stands on a log.

::

    log = FaultyLog({3: Fault.TIMEOUT_LANDED})     # the fourth append, counted over all writers
    log = FaultyLog(fence_faults={1: Fault.FENCED})

Every fault is one that some real backend can show.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from amqpbroker.storage.log import AppendRejected, AppendTimeout, Fenced, Offset
from amqpbroker.storage.memory import MemoryLog, MemoryWriter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Fault(Enum):
    """What goes wrong with one append (or with one fence)."""

    TIMEOUT_LANDED = "AppendTimeout, and the batch is there"
    TIMEOUT_LOST = "AppendTimeout, and the batch is not there, ever"
    TIMEOUT_LATE = "AppendTimeout, and the batch lands just before the next fence looks"
    FENCED = "an intruder fences just before"
    REJECTED = "AppendRejected"


class FaultyLog(MemoryLog):
    """A `MemoryLog` whose appends and fences fail at the given indices.

    ``appends`` and ``fences`` count the attempts so far; the indices in the mappings count from
    0. The mappings may be changed while the log is in use.
    """

    def __init__(
        self,
        append_faults: Mapping[int, Fault] | None = None,
        fence_faults: Mapping[int, Fault] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.append_faults = dict(append_faults or {})
        self.fence_faults = dict(fence_faults or {})
        self.appends = 0
        self.fences = 0
        self._late: Sequence[bytes] | None = None

    async def fence(self, *, after: Offset, epoch: int, owner: str) -> MemoryWriter:
        """See `log.Log.fence`."""
        fault = self.fence_faults.get(self.fences)
        self.fences += 1
        self._let_late_land()
        if fault is Fault.FENCED:
            await self._intrude()
        elif fault is Fault.REJECTED:
            raise AppendRejected("injected: the fence was rejected")
        elif fault in (Fault.TIMEOUT_LOST, Fault.TIMEOUT_LATE):
            raise AppendTimeout("injected: the fence timed out and is lost")
        await super().fence(after=after, epoch=epoch, owner=owner)
        self._writer = writer = FaultyWriter(self)
        if fault is Fault.TIMEOUT_LANDED:
            raise AppendTimeout("injected: the fence timed out, and it landed")
        return writer

    def next_append_fault(self) -> Fault | None:
        """Return what this append shall suffer, and count it."""
        self.appends += 1
        return self.append_faults.get(self.appends - 1)

    async def suffer(self, fault: Fault, records: Sequence[bytes]) -> None:
        """Do what the fault does to the log, and raise what it shows to the writer."""
        if fault is Fault.REJECTED:
            raise AppendRejected("injected: the append was rejected")
        if fault is Fault.FENCED:
            await self._intrude()
            raise Fenced("injected: an intruder writes this log")
        if fault is Fault.TIMEOUT_LANDED:
            self.land(records)
        elif fault is Fault.TIMEOUT_LATE:
            self._late = records
        raise AppendTimeout(f"injected: {fault.value}")

    async def _intrude(self) -> None:
        await super().fence(after=self._last, epoch=self._epoch + 1, owner="intruder")

    def _let_late_land(self) -> None:
        if self._late is not None:
            self.land(self._late)
            self._late = None


class FaultyWriter(MemoryWriter):
    """The writer of a `FaultyLog`; dead after a time-out, as it must be."""

    def __init__(self, log: FaultyLog) -> None:
        super().__init__(log)
        self._faulty_log = log
        self._is_dead = False

    async def append(self, records: Sequence[bytes]) -> Offset:
        """See `log.Writer.append`."""
        if self._is_dead:
            raise AppendTimeout("this writer timed out before; fence again")
        fault = self._faulty_log.next_append_fault()
        if fault is None or not self._faulty_log.owned_by(self):
            return await super().append(records)
        try:
            await self._faulty_log.suffer(fault, records)
        except AppendTimeout:
            self._is_dead = True
            raise
        raise AssertionError("every fault raises")
