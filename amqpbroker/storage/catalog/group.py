"""A group: the changes that one transaction carries, and the tickets of those who wait for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from anyio import Event

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amqpbroker.storage.catalog.exceptions import CatalogError


class Change(NamedTuple):
    """One statement and its parameters."""

    sql: str
    parameters: tuple[Any, ...]


class Group:
    """Changes in the order in which they were staged. Needs a running event loop."""

    __slots__ = ("_done", "_failure", "_refused", "changes", "is_whole", "queue_id_limit")

    def __init__(self, *, is_whole: bool = False) -> None:
        self.changes: list[Change] = []
        self.is_whole = is_whole
        """Whether one change that is refused has all of them refused; nobody else joins them."""
        self.queue_id_limit = 0
        """The last queue id that may be handed out once this is committed; 0: as before."""
        self._done = Event()
        self._failure: CatalogError | None = None
        self._refused: Mapping[int, CatalogError] = {}

    def stage(self, change: Change) -> Ticket:
        """Add a change."""
        self.changes.append(change)
        return Ticket(self, len(self.changes) - 1)

    def succeed(self, refused: Mapping[int, CatalogError]) -> None:
        """Let the tickets know that all is committed but the ``refused``, by index."""
        self._refused = refused
        self._end()

    def fail(self, error: CatalogError) -> None:
        """Let the tickets know that nothing is committed."""
        self._failure = error
        self._end()

    def _end(self) -> None:
        self.changes = []  # queues that are not used keep their ticket
        self._done.set()

    @property
    def is_done(self) -> bool:
        """Whether the outcome is known."""
        return self._done.is_set()

    def error(self, index: int) -> CatalogError | None:
        """Return what went wrong with a change."""
        return self._failure or self._refused.get(index)

    async def wait(self) -> None:
        """Wait until the outcome is known."""
        await self._done.wait()


class Ticket:
    """A change that was staged. When a later one is on the disk, so is it, unless it failed."""

    __slots__ = ("_group", "_index")

    def __init__(self, group: Group, index: int) -> None:
        self._group = group
        self._index = index

    @property
    def is_done(self) -> bool:
        """Whether `wait` would return, or raise, at once."""
        return self._group.is_done

    async def wait(self) -> None:
        """Return when the change is on the disk. Giving up waiting does not undo it.

        :raises ChangeRefused: it contradicts what is stored.
        :raises CatalogError: its transaction failed; nothing of it was applied.
        """
        await self._group.wait()
        error = self._group.error(self._index)
        if error is not None:
            raise type(error)(*error.args) from error  # each waiter gets a traceback of its own
