"""Giving memory back to the system after many connections have gone.

A connection leaves no reference cycle behind, so everything it had is freed at once; but the C
library keeps the pages until it is told to look (glibc's malloc_trim).
"""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

CONNECTION_COUNT: Final = 500
"""So many connections less than there were are worth a look: it takes some milliseconds."""


def give_back() -> None:
    """Have the C library return free pages; does nothing where it cannot."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


class MemoryReturner:
    """Watches how many connections there are."""

    def __init__(self, give_back: Callable[[], None] = give_back) -> None:
        self._give_back = give_back
        self._peak_count = 0

    def check(self, connection_count: int) -> None:
        """Give memory back once many connections have gone."""
        self._peak_count = max(self._peak_count, connection_count)
        if self._peak_count - connection_count >= CONNECTION_COUNT:
            self._peak_count = connection_count
            self._give_back()
