"""Who connects to the API and says nothing, or half a request, is hung up on."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio import to_thread
from anyio.abc import SocketAttribute

from amqpbroker.broker.broker import Broker
from amqpbroker.config import Config
from amqpbroker.management import Socket, protocol, serve
from tests.helpers import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

REQUEST = b"GET /api/whoami HTTP/1.1\r\nHost: localhost\r\n\r\n"


@asynccontextmanager
async def serving() -> AsyncIterator[int]:
    multi = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    sockets = [Socket(item.extra(SocketAttribute.raw_socket)) for item in multi.listeners]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve, Broker(Config(is_memory=True)), sockets, [])
        yield multi.extra(SocketAttribute.local_port)
        tasks.cancel_scope.cancel()


def dial(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), DEADLINE_S)


def read_to_end(client: socket.socket) -> bytes:
    data = b""
    while chunk := client.recv(65536):
        data += chunk
    return data


@pytest.mark.parametrize(
    ("said", "answer"), [(b"", b""), (REQUEST[:20], b""), (REQUEST + REQUEST[:9], b"HTTP/1.1 401")]
)
async def test_half_a_request_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, said: bytes, answer: bytes
) -> None:
    monkeypatch.setattr(protocol, "REQUEST_TIMEOUT_S", 0.1)
    async with serving() as port:
        with dial(port) as client:
            client.sendall(said)
            assert (await to_thread.run_sync(read_to_end, client)).startswith(answer)


async def test_one_connection_too_many_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "CONNECTION_COUNT_MAX", 1)
    async with serving() as port:
        with dial(port) as first:
            first.sendall(REQUEST)
            assert await to_thread.run_sync(first.recv, 12) == b"HTTP/1.1 401"
            with dial(port) as second:
                assert await to_thread.run_sync(read_to_end, second) == b""
