"""What an import is about to make, kept from others until it is there.

Between the moment at which an import writes its rows and the one at which all of it is in force
lies a commit, which takes about a second for 100,000 queues. Clients go on meanwhile. Only who
would make the very same queue, exchange or binding waits, and then finds it there; what clients
delete is gone, on the disk and in memory. Changes of vhosts, accounts, policies and parameters are
rare and overlap more, so they and imports wait for each other.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio

from amqpbroker.auth.backends.backend import Unanswered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Container

    from amqpbroker.routing.binding import Binding

Thing: TypeAlias = "tuple[str, str, str] | tuple[str, Binding]"
"""(``queue`` or ``exchange``, vhost, name), or (vhost, binding)."""


class Imports:
    """The import at hand, if there is one."""

    def __init__(self) -> None:
        self._reserved: Container[Thing] = ()
        self._over: anyio.Event | None = None
        """Set when the import at hand is over."""
        self._changing_count = 0
        self._changed = anyio.Event()

    def check_free(self, *thing: Any) -> None:
        """Have a handler wait that is about to make what an import makes, then begin again.

        Raises :class:`~amqpbroker.auth.backends.backend.Unanswered`.
        """
        if thing in self._reserved:
            raise Unanswered(self.wait)

    async def wait(self) -> None:
        """Return when no import is at hand."""
        while self._over is not None:
            await self._over.wait()

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[None]:
        """Change accounts, vhosts, policies or parameters inside, when no import is at hand."""
        await self.wait()
        self._changing_count += 1
        try:
            yield
        finally:
            self._changing_count -= 1
            self._changed.set()
            self._changed = anyio.Event()

    @asynccontextmanager
    async def importing(self, reserved: Container[Thing]) -> AsyncIterator[None]:
        """Import inside, one at a time; nobody else makes what is ``reserved``."""
        await self.wait()
        self._over = anyio.Event()
        try:
            while self._changing_count:
                await self._changed.wait()
            self._reserved = reserved
            yield
        finally:
            self._reserved = ()
            self._over.set()
            self._over = None
