"""The HTTP listener: there at once, heavy only when it is used."""

from __future__ import annotations

import http.client
import subprocess
import sys
from contextlib import closing

import anyio
import pytest
from anyio import to_thread
from anyio.abc import SocketAttribute

from amqpbroker.broker.broker import Broker
from amqpbroker.config import Config
from amqpbroker.management import Listener, Socket, serve


def test_importing_the_server_imports_no_framework() -> None:
    code = "import sys, amqpbroker.server; print({'fastapi', 'uvicorn'} & {*sys.modules})"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.fixture
def local() -> Broker:
    return Broker(Config(is_memory=True))


def status(connection: http.client.HTTPConnection) -> int:
    connection.request("GET", "/api/whoami")
    response = connection.getresponse()
    response.read()
    return response.status


async def test_it_serves_until_cancelled_and_closes_its_connections(local: Broker) -> None:
    multi = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    port = multi.extra(SocketAttribute.local_port)
    sockets = [Socket(item.extra(SocketAttribute.raw_socket)) for item in multi.listeners]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=8)
    with closing(connection):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(serve, local, sockets, [Listener("http", "127.0.0.1", port)])
            for _ in range(2):
                assert await to_thread.run_sync(status, connection) == 401
            tasks.cancel_scope.cancel()
        with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
            await to_thread.run_sync(status, connection)
    with pytest.raises(ConnectionRefusedError):
        await to_thread.run_sync(http.client.HTTPConnection("127.0.0.1", port).connect)


async def test_nobody_calls(local: Broker) -> None:
    multi = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    sockets = [Socket(item.extra(SocketAttribute.raw_socket)) for item in multi.listeners]
    async with multi, anyio.create_task_group() as tasks:
        tasks.start_soon(serve, local, sockets, [])
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()


async def test_an_api_that_cannot_be_built_leaves_the_broker_alone(
    local: Broker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "amqpbroker.management.app", None)
    multi = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    sockets = [Socket(item.extra(SocketAttribute.raw_socket)) for item in multi.listeners]
    port = multi.extra(SocketAttribute.local_port)
    async with await anyio.connect_tcp("127.0.0.1", port):
        await serve(local, sockets, [])
    assert "the management API cannot start" in caplog.text
