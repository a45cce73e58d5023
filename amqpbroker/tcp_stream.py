"""Plain TCP for many small reads and writes: a stream that goes on reading by itself.

The general one of anyio switches reading on and off around each ``receive``, which costs two system
calls and as much again around them; for a client that sends one message at a time that is a fifth
of what the message costs. Here reading is switched off only when data comes that nobody waits for.

A wake-up of the writer task costs one or two rounds of the event loop; ``write_now`` costs one
system call. So small batches are written where they arise, and only what the socket does not take
at once is left to ``send``.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING, cast

import anyio
from anyio import BrokenResourceError, BusyResourceError, ClosedResourceError, EndOfStream
from anyio.abc import SocketAttribute, SocketListener, SocketStream
from anyio.lowlevel import checkpoint, checkpoint_if_cancelled
from anyio.streams.stapled import MultiListener

if TYPE_CHECKING:
    from collections.abc import Callable


async def listen(host: str, port: int) -> MultiListener[SocketStream]:
    """Listen on all addresses of a host; port 0 takes a free one.

    Raises :class:`OSError` if an address cannot be used.
    """
    tcp = await anyio.create_tcp_listener(local_host=host, local_port=port)
    sockets = [listener.extra(SocketAttribute.raw_socket) for listener in tcp.listeners]
    return MultiListener([TcpListener(raw_socket) for raw_socket in sockets])


class TcpListener(SocketListener):
    """Accepts connections on a socket that listens."""

    def __init__(self, raw_socket: socket.socket) -> None:
        self.__raw_socket = raw_socket

    @property
    def _raw_socket(self) -> socket.socket:
        return self.__raw_socket

    async def accept(self) -> TcpStream:
        """Wait for the next connection."""
        await checkpoint()
        loop = asyncio.get_running_loop()
        accepted, _ = await loop.sock_accept(self._raw_socket)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _, stream = await loop.connect_accepted_socket(TcpStream, accepted)
        return stream

    async def aclose(self) -> None:
        """Listen no more; nobody may be waiting in ``accept``."""
        self._raw_socket.close()
        await checkpoint()


class TcpStream(SocketStream, asyncio.Protocol):
    """One connection; for one reader and one writer at a time."""

    __slots__ = (
        "_descriptor",
        "_error",
        "_has_ended",
        "_is_closed",
        "_is_paused",
        "_loop",
        "_received",
        "_transport",
        "_waiter",
        "_writable",
        "taker",
    )

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._descriptor = -1
        """What may be written to; the event loop closes it after ``connection_lost``."""
        self._received = b""
        self._waiter: asyncio.Future[None] | None = None
        """While ``receive`` waits."""
        self._is_paused = False
        self._has_ended = False
        """Nothing more will be received."""
        self._is_closed = False
        """By us."""
        self._error: Exception | None = None
        self._writable: anyio.Event | None = None
        """While the transport has more than the socket takes."""
        self.taker: Callable[[bytes], bytes | None] | None = None
        """Called with what comes while ``receive`` waits; returns what that shall return instead,
        None if it shall go on waiting."""

    @property
    def _raw_socket(self) -> socket.socket:
        return cast("socket.socket", self._transport.get_extra_info("socket"))

    # the stream

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Return what has come: at least a byte, if no ``taker`` says otherwise.

        Raises :class:`anyio.EndOfStream` after the last one, :class:`anyio.BrokenResourceError`
        when the connection is broken.
        """
        if self._received:
            await checkpoint()
        else:
            await self._wait()
        data = self._received
        if len(data) > max_bytes:
            self._received = data[max_bytes:]
            return data[:max_bytes]
        self._received = b""
        return data

    async def _wait(self) -> None:
        if self._waiter is not None:
            raise BusyResourceError("reading from")
        if not self._has_ended:
            if self._is_paused:
                self._is_paused = False
                self._transport.resume_reading()
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self._has_ended and not self._received:
            raise self._end()

    def pause(self) -> None:
        """Leave what comes to the system until the next ``receive``."""
        if not self._is_paused and not self._has_ended:
            self._is_paused = True
            self._transport.pause_reading()

    def write_now(self, data: bytes) -> int:
        """Write what the socket takes now; return how many bytes that were, 0 on any error.

        Errors are for ``send`` to find: it writes the rest. Not while ``send`` is at it.
        """
        try:
            return os.write(self._descriptor, data)
        except OSError:
            return 0

    async def send(self, item: bytes) -> None:
        """Return when the system has taken all of it; raises as ``receive`` does."""
        await checkpoint_if_cancelled()
        if self._is_closed or self._descriptor < 0:
            raise self._end() if self._error else ClosedResourceError
        self._transport.write(item)
        if self._writable is None:
            await checkpoint()
            return
        await self._writable.wait()
        if self._is_closed or self._error is not None:
            raise self._end()

    async def send_eof(self) -> None:
        """Send nothing more."""
        if not self._transport.is_closing():
            self._transport.write_eof()
        await checkpoint()

    async def aclose(self) -> None:
        """Close at once; what the system has not taken is not sent."""
        self._is_closed = True
        self._transport.abort()
        await checkpoint()

    def _end(self) -> Exception:
        if self._is_closed:
            return ClosedResourceError()
        if self._error is None:
            return EndOfStream()
        error = BrokenResourceError()
        error.__cause__ = self._error
        return error

    # what the event loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be ready to read and write."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(0)
        self._descriptor = self._raw_socket.fileno()

    def data_received(self, data: bytes) -> None:
        """Hand on what has come; if nobody waits for it, let no more come."""
        if self._waiter is None or self._waiter.done():
            self._received += data
            self.pause()
        else:
            rest = data if self.taker is None else self.taker(data)
            if rest is not None:
                self._received = rest
                self._wake()

    def eof_received(self) -> bool:
        """Stay open for writing when the client sends nothing more."""
        self._has_ended = True
        self._wake()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of the socket."""
        self._descriptor = -1
        self._has_ended = True
        self._error = exc
        self._wake()
        self.resume_writing()

    def pause_writing(self) -> None:
        """Have ``send`` wait."""
        self._writable = anyio.Event()

    def resume_writing(self) -> None:
        """The system has taken all there was."""
        if self._writable is not None:
            self._writable.set()
            self._writable = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
