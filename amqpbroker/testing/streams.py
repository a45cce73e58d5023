"""The two ends of a connection in memory: a byte stream for the broker, plain calls for a client.

What the broker sends is in the client's hands at once, also when it reads no more: a client that
was cut off may still look at what it would have got. What the client sends is read when the broker
gets to it; ``cut`` loses what it has not got to, as a reset does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import ByteStream, SocketAttribute

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ADDRESS = ("127.0.0.1", 5672)


class MemoryStream(ByteStream):
    """The broker's end; ``client_port`` is what tells it from others in the log."""

    def __init__(self, client_port: int, on_data: Callable[[bytes], None]) -> None:
        self._client_port = client_port
        self._on_data = on_data
        self._incoming = bytearray()
        self._has_ended = False
        self._is_closed = False
        self._readable: anyio.Event | None = None
        """Set when there is something to read, while the broker waits for it."""
        self._resumed: anyio.Event | None = None
        """Set when the client reads again, while it does not."""
        self.chunk_size: Callable[[int], int] = lambda size: size
        """How many of so many waiting bytes the broker reads in one go."""
        self.on_end: Callable[[], None] = lambda: None
        """Called when the broker hangs up."""

    # the broker's side

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """Return the addresses, both on this machine."""
        return {
            SocketAttribute.local_address: lambda: ADDRESS,
            SocketAttribute.remote_address: lambda: (ADDRESS[0], self._client_port),
        }

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Return what the client has sent; raises EndOfStream when that is all."""
        while not self._incoming:
            if self._has_ended or self._is_closed:
                raise anyio.EndOfStream
            self._readable = anyio.Event()
            await self._readable.wait()
        size = self.chunk_size(min(max_bytes, len(self._incoming)))
        data = bytes(self._incoming[:size])
        del self._incoming[:size]
        return data

    async def send(self, item: bytes) -> None:
        """Hand bytes to the client, once it reads; to one that has hung up too."""
        while self._resumed is not None:
            await self._resumed.wait()
        self._on_data(item)

    async def send_eof(self) -> None:
        """Hang up."""
        await self.aclose()

    async def aclose(self) -> None:
        """Hang up."""
        if not self._is_closed:
            self._is_closed = True
            self._wake()
            self.on_end()

    # the client's side

    def write(self, data: bytes) -> None:
        """Send bytes to the broker; in vain when it has hung up."""
        if not self._has_ended and not self._is_closed:
            self._incoming += data
            self._wake()

    def end(self) -> None:
        """Send no more; what was sent still arrives."""
        self._has_ended = True
        self.resume()
        self._wake()

    def pause(self) -> None:
        """Read nothing more, so that the broker has to wait."""
        if self._resumed is None:
            self._resumed = anyio.Event()

    def resume(self) -> None:
        """Read again."""
        if self._resumed is not None:
            self._resumed.set()
            self._resumed = None

    def _wake(self) -> None:
        if self._readable is not None:
            self._readable.set()
            self._readable = None

    def cut(self) -> None:
        """Send no more, and lose what the broker has not read."""
        self._incoming.clear()
        self.end()
