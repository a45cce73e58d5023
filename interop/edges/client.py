"""A client of one socket and one buffer, light enough to be held ten thousand times.

It does the full handshake, opens channel 1 and matches replies to calls by their order,
which AMQP promises within a channel. Methods that a broker sends on its own (deliver,
return, ack, cancel, blocked) and content go to `on_frame`.
"""

from __future__ import annotations

import asyncio
import socket
from collections import defaultdict, deque
from itertools import chain
from typing import TYPE_CHECKING, cast

from pamqp import base, commands

from interop.edges import frames

if TYPE_CHECKING:
    from collections.abc import Callable

    from interop.edges.frames import Frame

UNASKED = {
    command.index
    for command in (
        commands.Basic.Deliver,
        commands.Basic.Return,
        commands.Basic.Ack,
        commands.Basic.Nack,
        commands.Basic.Cancel,
        commands.Connection.Blocked,
        commands.Connection.Unblocked,
    )
}
CALL_TIMEOUT_S = 60.0


class PeerClosed(Exception):
    """The broker closed the channel or the connection, or the socket went away."""


class Client(asyncio.Protocol):
    """One connection. `on_frame` sees content frames and methods that nobody asked for."""

    def __init__(self, on_frame: Callable[[Frame], None] | None = None) -> None:
        """Build it for `loop.create_connection`; `connect` is the short way."""
        self.on_frame = on_frame
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._waiting: defaultdict[int, deque[asyncio.Future[Frame]]] = defaultdict(deque)
        self._may_write = asyncio.Event()
        self._may_write.set()

    @property
    def transport(self) -> asyncio.Transport:
        """The socket's transport, once connected."""
        assert self._transport is not None, "not connected"
        return self._transport

    @property
    def local_port(self) -> int:
        """The port that the broker sees as the peer's."""
        return int(self.transport.get_extra_info("sockname")[1])

    @property
    def unread(self) -> bytes:
        """What came and is no whole frame yet."""
        return bytes(self._buffer)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (called by the loop)."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what still waits (called by the loop)."""
        self._fail(f"socket closed: {exc or 'end of stream'}")

    def pause_writing(self) -> None:
        """Hold `drain` back (called by the loop)."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        """Let `drain` go on (called by the loop)."""
        self._may_write.set()

    def data_received(self, data: bytes) -> None:
        """Split frames and hand them on (called by the loop)."""
        self._buffer += data
        for item in frames.split(self._buffer):
            self._take(item)

    def _take(self, item: Frame) -> None:
        is_reply = item.kind == frames.METHOD and item.method_index not in UNASKED
        if not is_reply:
            if self.on_frame is not None and item.kind != frames.HEARTBEAT:
                self.on_frame(item)
        elif item.method_index == commands.Connection.Close.index:
            closing = item.method()
            assert isinstance(closing, commands.Connection.Close)
            self.send(frames.method(commands.Connection.CloseOk(), 0))
            self._fail(f"{closing.reply_code} {closing.reply_text}")
        elif self._waiting[item.channel]:
            waiter = self._waiting[item.channel].popleft()
            if not waiter.done():
                waiter.set_result(item)

    def _fail(self, reason: str) -> None:
        if not self.closed.done():
            self.closed.set_result(reason)
        for waiter in chain.from_iterable(self._waiting.values()):
            if not waiter.done():
                waiter.set_exception(PeerClosed(reason))
        self._waiting.clear()

    def send(self, data: bytes) -> None:
        """Write without waiting."""
        self.transport.write(data)

    async def drain(self) -> None:
        """Wait until the socket takes more, so that this process does not pile bytes up."""
        await self._may_write.wait()

    def ask(self, data: bytes, channel: int = 1) -> asyncio.Future[Frame]:
        """Write a method and return its reply to come; many may be outstanding."""
        waiter: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        if self.closed.done():
            waiter.set_exception(PeerClosed(self.closed.result()))
            return waiter
        self._waiting[channel].append(waiter)
        self.send(data)
        return waiter

    async def call(self, command: base.Frame, channel: int = 1) -> base.Frame:
        """Send a method, wait for its answer and decode it.

        Raises:
            PeerClosed: the broker closed the channel or connection instead.
            TimeoutError: no answer within CALL_TIMEOUT_S.
        """
        reply = await asyncio.wait_for(
            self.ask(frames.method(command, channel), channel), timeout=CALL_TIMEOUT_S
        )
        answer = reply.method()
        if isinstance(answer, commands.Channel.Close):
            self.send(frames.method(commands.Channel.CloseOk(), reply.channel))
            raise PeerClosed(f"{answer.reply_code} {answer.reply_text}")
        return answer

    async def handshake(self, *, heartbeat_s: int = 0) -> None:
        """Go from the protocol header to an open channel 1, four round trips."""
        opening = frames.tune_ok(heartbeat_s) + frames.OPEN
        for step in (frames.PROTOCOL_HEADER, frames.START_OK, opening):
            await asyncio.wait_for(self.ask(step, 0), timeout=CALL_TIMEOUT_S)
        await asyncio.wait_for(self.ask(frames.CHANNEL_OPEN), timeout=CALL_TIMEOUT_S)

    async def close(self) -> None:
        """Close as a polite client does: close, close-ok, then the socket."""
        command = commands.Connection.Close(200, "bye", 0, 0)
        await asyncio.wait_for(self.ask(frames.method(command, 0), 0), timeout=CALL_TIMEOUT_S)
        self.transport.close()

    def vanish(self) -> None:
        """Drop the socket with a reset and say nothing."""
        linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
        self.transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, linger
        )
        self.transport.abort()


async def dial(host: str, port: int, on_frame: Callable[[Frame], None] | None = None) -> Client:
    """Open only the socket: nothing is sent yet."""
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(lambda: Client(on_frame), host, port)
    return client


async def connect(
    host: str,
    port: int,
    on_frame: Callable[[Frame], None] | None = None,
    *,
    heartbeat_s: int = 0,
) -> Client:
    """Open a connection with channel 1."""
    client = await dial(host, port, on_frame)
    await client.handshake(heartbeat_s=heartbeat_s)
    return client
