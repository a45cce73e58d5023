"""Ids of queues, each used once for all time: not after a deletion, a restart or a crash.

An id is handed out at once, long before the queue is committed, and may stand in the log by then.
So the catalog commits a limit ahead of the ids in use: no id above it is handed out, and after a
crash the next one is above it. Closing in good order gives back what was not used.
"""

from __future__ import annotations

from typing import Final

from amqpbroker.storage.catalog.exceptions import CatalogError

AHEAD: Final = 1 << 18
"""How far a new limit is ahead of the ids in use; half of it lasts while one is committed."""


class QueueIds:
    """Hands out ids; ``last`` is the committed limit of the run before."""

    def __init__(self, last: int) -> None:
        self.last = last
        """The last id handed out."""
        self.limit = last
        """The last id that may be handed out: it is on the disk."""
        self._is_raising = False

    def next(self) -> int:
        """Return a new id.

        :raises CatalogError: no higher limit could be committed for too long.
        """
        if self.last >= self.limit:
            raise CatalogError("no queue can be made until the catalog can be written again")
        self.last += 1
        return self.last

    def wanted_limit(self) -> int | None:
        """Return the limit to commit now, if any; `committed` or `failed` must follow."""
        if self._is_raising or self.limit - self.last > AHEAD // 2:
            return None
        self._is_raising = True
        return self.last + AHEAD

    def committed(self, limit: int) -> None:
        """Go up to a limit that is on the disk."""
        self.limit = limit
        self._is_raising = False

    def failed(self) -> None:
        """Want a limit again: the last was not committed."""
        self._is_raising = False
