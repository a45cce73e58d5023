"""A database that waits for a full or absent disk instead of failing.

While the broker runs, a definition that could not be stored would be worse than one that is late:
it is in force already, and everything that comes after it in the catalog may depend on it. So a
group that cannot be written is tried again until it can, and the groups behind it wait in line.
Whoever declares something waits for as long.

What is committed as a whole (an import) is not in force yet, so it is not tried again: it fails.

Damage is not waited for. Nor is anything when the broker starts or stops: see ``is_patient``.
"""

from __future__ import annotations

import logging
import sqlite3
from typing import TYPE_CHECKING, Any, Final

import anyio

from amqpbroker.storage.catalog.exceptions import CatalogError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from amqpbroker.storage.catalog.database import Database
    from amqpbroker.storage.catalog.group import Change

RETRY_DELAY_S: Final = 1.0
"""Between attempts."""

_MAY_PASS: Final = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOMEM,
    }
)
"""Primary result codes of what somebody can mend while the broker runs."""
_PRIMARY_CODE_MASK: Final = 0xFF

_logger = logging.getLogger(__name__)


class PatientDatabase:
    """See the module; a `Database` around another one."""

    def __init__(
        self, database: Database, *, sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    ) -> None:
        self._database = database
        self._sleep = sleep
        self.is_patient = False
        """Whether to wait. While it is not set, errors are raised at once."""
        self.on_short: Callable[[bool], None] = lambda is_short: None
        """Told when nothing can be written, and when that is over."""

    async def apply(
        self, changes: Sequence[Change], *, is_whole: bool = False
    ) -> Mapping[int, CatalogError]:
        """See `Database.apply`."""
        is_short = False
        while True:
            try:
                refused = await self._database.apply(changes, is_whole=is_whole)
            except CatalogError as error:
                if is_whole or not self.is_patient or not _may_pass(error):
                    raise
                if not is_short:
                    _logger.error("%s; until then nothing can be declared or deleted", error)
                    is_short = True
                    self.on_short(True)
                await self._sleep(RETRY_DELAY_S)
            else:
                if is_short:
                    _logger.warning("the catalog can be written again")
                    self.on_short(False)
                return refused

    def select(self, sql: str) -> AsyncIterator[Sequence[tuple[Any, ...]]]:
        """See `Database.select`."""
        return self._database.select(sql)

    async def close(self) -> None:
        """See `Database.close`."""
        await self._database.close()


def _may_pass(error: CatalogError) -> bool:
    code = getattr(error.__cause__, "sqlite_errorcode", -1)
    return code & _PRIMARY_CODE_MASK in _MAY_PASS
