"""A draft: changes that nobody knows of until all of them are committed in one transaction.

A catalog commits what it is told in groups of thousands, in any division. What must be there as a
whole or not at all, such as an import, is drafted first. That may take its time: the catalog goes
on meanwhile, and what a binding in the draft leads from or to may be deleted before the draft is
committed. Such a binding is left out then, as it would have been deleted afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from anyio.lowlevel import checkpoint

from amqpbroker.storage.catalog import tables
from amqpbroker.storage.catalog.changes import Changes, table_of
from amqpbroker.storage.catalog.group import Change, Group
from amqpbroker.storage.catalog.tables import bindable

if TYPE_CHECKING:
    from amqpbroker.storage.catalog.catalog import Catalog
    from amqpbroker.storage.catalog.group import Ticket
    from amqpbroker.storage.catalog.rows import BindingRow

FREED_COUNT: Final = 1000
"""Changes freed in one go."""


class Draft(Changes):
    """See the module."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._group = Group(is_whole=True)

    def __len__(self) -> int:
        return len(self._group.changes)

    def stage(self, change: Change) -> Ticket:
        """See `Changes.stage`; nothing happens before `commit`."""
        return self._group.stage(change)

    def put_binding(self, row: BindingRow) -> Ticket:
        """Store a binding if both ends are there by then."""
        put = tables.PUT_IF_ENDS[table_of(row)]
        return self.stage(Change(put, bindable((*row[:2], *row[3:]))))

    async def commit(self) -> None:
        """Commit all of it; see `Catalog.commit_whole` for what happens when this is cancelled.

        :raises CatalogError: nothing was applied, and nothing will be.
        """
        changes = self._group.changes
        if changes:
            await self._catalog.commit_whole(self._group)
        while changes:
            del changes[-FREED_COUNT:]  # all at once would keep others waiting
            await checkpoint()
