"""HTTP connections within limits, for those who have not logged in yet too.

uvicorn ends a connection that idles after an answer, but waits for ever for the first request and
for the rest of one. Imported with the API, when the first client calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio

CONNECTION_COUNT_MAX: Final = 256
"""Connections at a time; the next one is closed as it comes."""
REQUEST_TIMEOUT_S: Final = 10.0
"""A connection without a whole request for so long, at most twice that, is closed."""


class LimitedProtocol(H11Protocol):
    """One connection."""

    _waiting: asyncio.TimerHandle | None = None
    _last_cycle: Any = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Serve a client, unless there are too many."""
        if len(self.connections) >= CONNECTION_COUNT_MAX:
            self.transport = transport
            transport.close()
            return
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        if self._waiting is not None:
            self._waiting.cancel()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._last_cycle = self.cycle
        self._waiting = self.loop.call_later(REQUEST_TIMEOUT_S, self._look)

    def _look(self) -> None:
        """Close if no request has come since the last look, and none is being answered."""
        is_answered = self.cycle is None or self.cycle.response_complete
        if is_answered and self.cycle is self._last_cycle:
            self.transport.close()
        else:
            self._wait()
