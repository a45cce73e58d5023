"""Memory: a calm garbage collector, and pages given back after many connections have gone.

Messages, deliveries and connections leave no reference cycle behind, so reference counts free them
at once, and whatever time the cycle collector spends on looking through queued messages is lost. A
connection's pages stay with the C library until it is told to look (glibc's malloc_trim).
"""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CONNECTION_COUNT: Final = 500
"""So many connections less than there were are worth a look: it takes some milliseconds."""

TRIM_CHECKS: Final = 20
"""Checks from one trim to the next: messages, bindings and queues that went leave pages too."""

GC_THRESHOLDS: Final = (50_000, 5, 10_000)
"""Net new objects before a young collection, young before middle, middle before full ones.

A young collection looks at each queued message once (some 2 ms for 50,000). Python's own thresholds
(700, 10, 10) look at it four to five times, which cost a quarter of a publish. A middle collection
looks once more at what has come and stayed since the last one: some 20 ms for 250,000 objects.
"""


def pause_collector() -> None:
    """Collect nothing until `calm_collector`: what a start brings back from the disk stays.

    Millions of messages or queues would be looked at again and again while they come.
    """
    gc.collect()
    gc.disable()


def calm_collector() -> None:
    """Spare the collector what is here for good, and have it look seldom at the rest."""
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    gc.enable()


@contextmanager
def collector_spared() -> Iterator[None]:
    """Collect nothing inside, where very many objects are made that stay, or go by themselves.

    Each collection would look at all of them, and everybody would wait some 30 ms. Does nothing
    where `calm_collector` was not called: then the process is somebody else's.
    """
    if gc.get_threshold() != GC_THRESHOLDS or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        if gc.get_count()[0] > GC_THRESHOLDS[0]:
            gc.freeze()
        gc.enable()


def give_back() -> None:
    """Free what only caches hold, then have the C library return free pages, where it can.

    A full collection empties Python's free lists. Its cache of type attributes keeps the strings
    that methods of C extensions were called by; one of those pins a page, or with Python's own
    allocator a whole arena.
    """
    gc.collect()
    sys._clear_type_cache()
    trim()


def trim() -> None:
    """Have the C library return free pages, where it can; looks only at what is free."""
    malloc_trim = None
    if sys.platform == "linux":
        malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)


class MemoryReturner:
    """Watches how many connections there are; trims every few seconds whatever else was freed."""

    def __init__(
        self, give_back: Callable[[], None] = give_back, trim: Callable[[], None] = trim
    ) -> None:
        self._give_back = give_back
        self._trim = trim
        self._checks_left = TRIM_CHECKS
        self._peak_count = self._last_count = 0

    def check(self, connection_count: int) -> None:
        """Give memory back once many connections have gone and no more are going."""
        self._peak_count = max(self._peak_count, connection_count)
        is_calm = connection_count >= self._last_count
        self._last_count = connection_count
        if is_calm and self._peak_count - connection_count >= CONNECTION_COUNT:
            self._peak_count = connection_count
            self._give_back()
        self._checks_left -= 1
        if not self._checks_left:
            self._checks_left = TRIM_CHECKS
            self._trim()
