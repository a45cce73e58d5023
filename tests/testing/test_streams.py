"""What the two ends of a connection in memory see of each other."""

from __future__ import annotations

import anyio
import pytest
from anyio.abc import SocketAttribute

from amqpbroker.testing.streams import MemoryStream


@pytest.fixture
def got() -> list[bytes]:
    return []


@pytest.fixture
def stream(got: list[bytes]) -> MemoryStream:
    return MemoryStream(50_000, got.append)


async def test_bytes_go_both_ways(stream: MemoryStream, got: list[bytes]) -> None:
    stream.write(b"ab")
    stream.write(b"c")
    assert await stream.receive() == b"abc"
    await stream.send(b"d")
    assert got == [b"d"]


async def test_the_broker_waits_for_bytes(stream: MemoryStream) -> None:
    async with anyio.create_task_group() as tasks:
        read = []

        async def receive() -> None:
            read.append(await stream.receive())

        tasks.start_soon(receive)
        await anyio.wait_all_tasks_blocked()
        assert not read
        stream.write(b"x")
    assert read == [b"x"]


async def test_the_broker_reads_in_pieces(stream: MemoryStream) -> None:
    stream.chunk_size = lambda size: min(size, 2)
    stream.write(b"abc")
    assert [await stream.receive(), await stream.receive()] == [b"ab", b"c"]


async def test_what_was_sent_before_the_end_arrives(stream: MemoryStream) -> None:
    stream.write(b"x")
    stream.end()
    assert await stream.receive() == b"x"
    with pytest.raises(anyio.EndOfStream):
        await stream.receive()


async def test_a_cut_loses_what_was_not_read(stream: MemoryStream) -> None:
    stream.write(b"x")
    stream.cut()
    with pytest.raises(anyio.EndOfStream):
        await stream.receive()


async def test_a_client_that_hung_up_still_sees_what_it_would_have_got(
    stream: MemoryStream, got: list[bytes]
) -> None:
    stream.end()
    await stream.send(b"x")
    assert got == [b"x"]


async def test_the_broker_waits_for_a_client_that_does_not_read(
    stream: MemoryStream, got: list[bytes]
) -> None:
    stream.pause()
    stream.pause()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stream.send, b"x")
        await anyio.wait_all_tasks_blocked()
        assert not got
        stream.resume()
        stream.resume()
    assert got == [b"x"]


async def test_it_waits_no_more_when_the_client_has_hung_up(
    stream: MemoryStream, got: list[bytes]
) -> None:
    stream.pause()
    stream.cut()
    await stream.send(b"x")
    assert got == [b"x"]


async def test_the_client_learns_that_the_broker_hung_up(stream: MemoryStream) -> None:
    ends: list[bool] = []
    stream.on_end = lambda: ends.append(True)
    await stream.send_eof()
    await stream.aclose()
    stream.write(b"x")
    assert ends == [True]
    with pytest.raises(anyio.EndOfStream):
        await stream.receive()


def test_it_has_addresses(stream: MemoryStream) -> None:
    assert stream.extra(SocketAttribute.remote_address) == ("127.0.0.1", 50_000)
