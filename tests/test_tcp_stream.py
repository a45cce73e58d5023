"""A TCP stream that goes on reading by itself: what comes, what is held back, and how it ends."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio.abc import SocketAttribute
from anyio.lowlevel import checkpoint

from amqpbroker.tcp_stream import TcpStream, listen

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from anyio.abc import SocketStream, TaskGroup

DEADLINE_S = 5.0
LARGE = bytes(range(256)) * (1 << 16)
"""More than a socket holds."""


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Both event loops, which differ in when they read and write."""
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[TcpStream, SocketStream]]:
    """Open a connection; yield our end and the client's."""
    accepted: list[TcpStream] = []
    has_come = anyio.Event()
    ended = anyio.Event()

    async def accept(stream: SocketStream) -> None:
        assert isinstance(stream, TcpStream)
        accepted.append(stream)
        has_come.set()
        await ended.wait()

    with anyio.fail_after(DEADLINE_S):
        async with await listen("127.0.0.1", 0) as listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, accept)
            port = listener.extra(SocketAttribute.local_port)
            async with await anyio.connect_tcp("127.0.0.1", port) as client:
                await has_come.wait()
                async with accepted[0]:
                    yield accepted[0], client
            tasks.cancel_scope.cancel()


async def until(is_so: Callable[[], bool]) -> None:
    """Let the event loop run until something is so."""
    while not is_so():
        await checkpoint()


async def receive_all(stream: SocketStream, count: int) -> bytes:
    """Receive so many bytes."""
    data = b""
    while len(data) < count:
        data += await stream.receive()
    return data


async def test_what_is_sent_arrives_both_ways() -> None:
    async with connected() as (stream, client):
        await client.send(b"abc")
        assert await stream.receive() == b"abc"
        await stream.send(b"defg")
        assert await receive_all(client, 4) == b"defg"


async def test_it_says_who_is_there() -> None:
    async with connected() as (stream, client):
        here = client.extra(SocketAttribute.local_address)
        assert stream.extra(SocketAttribute.remote_address) == here
        raw = stream.extra(SocketAttribute.raw_socket)
        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_no_more_is_returned_than_was_asked_for() -> None:
    async with connected() as (stream, client):
        await client.send(b"abcde")
        assert [await stream.receive(2) for _ in range(3)] == [b"ab", b"cd", b"e"]


async def test_what_nobody_waits_for_stays_with_the_system() -> None:
    async with connected() as (stream, client), anyio.create_task_group() as tasks:
        tasks.start_soon(client.send, LARGE)
        await until(lambda: stream._is_paused)
        kept = len(stream._received)
        for _ in range(5):
            await checkpoint()
        assert 0 < len(stream._received) == kept < len(LARGE)
        assert await receive_all(stream, len(LARGE)) == LARGE


async def test_a_pause_lets_more_come_at_once() -> None:
    async with connected() as (stream, client):
        stream.pause()
        await client.send(b"ab")
        await client.send(b"cd")
        assert not stream._received
        assert await stream.receive() == b"abcd"


async def test_who_gives_up_waiting_loses_nothing() -> None:
    async with connected() as (stream, client):
        with anyio.move_on_after(0):
            await stream.receive()
        await client.send(b"abc")
        assert await stream.receive() == b"abc"


async def test_one_reader_at_a_time() -> None:
    async def receive(stream: TcpStream) -> None:
        assert await stream.receive() == b"abc"

    async with connected() as (stream, client), anyio.create_task_group() as tasks:
        tasks.start_soon(receive, stream)
        await until(lambda: stream._waiter is not None)
        with pytest.raises(anyio.BusyResourceError):
            await stream.receive()
        await client.send(b"abc")


# a taker


async def test_a_taker_comes_first_while_the_reader_waits() -> None:
    taken: list[bytes] = []

    def take(data: bytes) -> bytes | None:
        taken.append(data)
        return None if data == b"mine" else data

    async def send(client: SocketStream) -> None:
        await client.send(b"mine")
        await until(lambda: taken == [b"mine"])
        await client.send(b"yours")

    async with connected() as (stream, client), anyio.create_task_group() as tasks:
        stream.taker = take
        tasks.start_soon(send, client)
        assert await stream.receive() == b"yours"
        assert taken == [b"mine", b"yours"]


async def test_a_taker_may_leave_nothing_and_yet_wake_the_reader() -> None:
    async with connected() as (stream, client), anyio.create_task_group() as tasks:
        stream.taker = lambda _: b""
        tasks.start_soon(client.send, b"abc")
        assert await stream.receive() == b""


async def test_a_taker_is_not_asked_while_the_reader_is_busy() -> None:
    async with connected() as (stream, client):
        stream.taker = lambda _: None
        await client.send(b"abc")
        await until(lambda: stream._received == b"abc")
        assert await stream.receive() == b"abc"


# writing


async def test_what_is_written_now_arrives() -> None:
    async with connected() as (stream, client):
        assert stream.write_now(b"abc") == 3
        assert await receive_all(client, 3) == b"abc"


async def test_a_full_socket_takes_a_part_and_then_nothing() -> None:
    async with connected() as (stream, _):
        assert 0 < stream.write_now(LARGE) < len(LARGE)
        while stream.write_now(LARGE):
            pass
        assert stream.write_now(b"x") == 0


async def test_sending_waits_until_the_client_reads() -> None:
    is_sent = False

    async def send(stream: TcpStream) -> None:
        nonlocal is_sent
        await stream.send(LARGE)
        is_sent = True

    async with connected() as (stream, client), anyio.create_task_group() as tasks:
        tasks.start_soon(send, stream)
        await until(lambda: stream._writable is not None)
        assert not is_sent
        assert await receive_all(client, len(LARGE)) == LARGE
        await until(lambda: is_sent)


# the end


async def test_the_rest_comes_before_the_end() -> None:
    async with connected() as (stream, client):
        await client.send(b"abc")
        await client.send_eof()
        assert await receive_all(stream, 3) == b"abc"
        for _ in range(2):
            with pytest.raises(anyio.EndOfStream):
                await stream.receive()
        await stream.send(b"bye")
        assert await receive_all(client, 3) == b"bye"


async def test_our_end_is_seen_by_the_client() -> None:
    async with connected() as (stream, client):
        await stream.send(b"bye")
        await stream.send_eof()
        assert await receive_all(client, 3) == b"bye"
        with pytest.raises(anyio.EndOfStream):
            await client.receive()


def reset(client: SocketStream) -> None:
    """Have the client vanish without a word."""
    raw = client.extra(SocketAttribute.raw_socket)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


async def test_a_broken_connection_ends_reading_and_writing() -> None:
    async with connected() as (stream, client):
        reset(client)
        await client.aclose()
        with pytest.raises(anyio.BrokenResourceError):
            await stream.receive()
        with pytest.raises(anyio.BrokenResourceError):
            await stream.send(b"x")
        assert stream.write_now(b"x") == 0


async def test_a_client_that_vanishes_ends_a_send_that_waits() -> None:
    async def send(stream: TcpStream) -> None:
        with pytest.raises(anyio.BrokenResourceError):
            await stream.send(LARGE)

    async with connected() as (stream, client), anyio.create_task_group() as tasks:
        tasks.start_soon(send, stream)
        await until(lambda: stream._writable is not None)
        reset(client)
        await client.aclose()


async def test_closing_ends_who_waits() -> None:
    async def receive(stream: TcpStream) -> None:
        with pytest.raises(anyio.ClosedResourceError):
            await stream.receive()

    async def start(tasks: TaskGroup, stream: TcpStream) -> None:
        tasks.start_soon(receive, stream)
        await until(lambda: stream._waiter is not None)

    async with connected() as (stream, _):
        async with anyio.create_task_group() as tasks:
            await start(tasks, stream)
            await stream.aclose()
        with pytest.raises(anyio.ClosedResourceError):
            await stream.send(b"x")


async def test_nothing_is_written_to_whoever_gets_the_number_of_a_closed_socket() -> None:
    async with connected() as (stream, _):
        await stream.aclose()
        await until(lambda: stream._descriptor < 0)
        others = [socket.socketpair() for _ in range(8)]
        assert stream.write_now(b"secret") == 0
        for one, other in others:
            other.setblocking(False)
            with pytest.raises(BlockingIOError):
                other.recv(1)
            one.close()
            other.close()
