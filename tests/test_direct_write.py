"""Writing at once: what the socket takes, never to another socket, never for TLS."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import anyio
import anyio.abc
import anyio.streams.stapled
import pytest

from amqpbroker.direct_write import USES_BEFORE_DUPLICATION, DirectWriter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from anyio.abc import SocketStream


@pytest.fixture
async def pair() -> AsyncIterator[tuple[SocketStream, socket.socket]]:
    """A stream of ours and the client's socket."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(True)
    theirs.settimeout(5)
    async with await anyio.abc.SocketStream.from_socket(ours) as stream:
        yield stream, theirs
    theirs.close()


def warm(writer: DirectWriter) -> None:
    """Use it as often as it takes to get a descriptor."""
    for _ in range(USES_BEFORE_DUPLICATION):
        assert not writer._descriptor >= 0
        _ = writer.is_ready


async def test_an_idle_connection_gets_no_second_descriptor(
    pair: tuple[SocketStream, socket.socket],
) -> None:
    writer = DirectWriter(pair[0])
    assert not writer.is_ready
    assert writer._descriptor == -1
    writer.close()


async def test_what_is_written_arrives(pair: tuple[SocketStream, socket.socket]) -> None:
    stream, client = pair
    writer = DirectWriter(stream)
    warm(writer)
    assert writer.is_ready
    assert writer.write(b"abc") == 3
    assert client.recv(3) == b"abc"
    writer.close()


async def test_a_full_socket_takes_a_part_and_then_nothing(
    pair: tuple[SocketStream, socket.socket],
) -> None:
    writer = DirectWriter(pair[0])
    warm(writer)
    data = bytes(1 << 24)
    assert 0 < writer.write(data) < len(data)
    while writer.write(data):
        pass
    assert writer.write(b"x") == 0
    writer.close()


async def test_it_never_writes_to_whoever_gets_the_number_of_a_closed_socket(
    pair: tuple[SocketStream, socket.socket],
) -> None:
    stream, client = pair
    writer = DirectWriter(stream)
    warm(writer)
    client.close()
    await stream.aclose()
    others = [socket.socketpair() for _ in range(8)]
    assert writer.write(b"secret") == 0
    for one, other in others:
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.recv(1)
        one.close()
        other.close()
    writer.close()
    assert not writer.is_ready


async def test_a_stream_that_is_no_socket_is_left_to_the_writer() -> None:
    send, receive = anyio.create_memory_object_stream[bytes](1)
    writer = DirectWriter(anyio.streams.stapled.StapledByteStream(send, receive))  # type: ignore[arg-type]
    for _ in range(2 * USES_BEFORE_DUPLICATION):
        assert not writer.is_ready
    send.close()
    receive.close()
