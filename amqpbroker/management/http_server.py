"""The HTTP listener: open from the start, its application built when somebody first calls.

FastAPI and uvicorn take longer to import than the broker takes to start, and most brokers are never
asked. So the sockets listen, the kernel keeps the first clients waiting, and a thread does the
imports while messages go on. Then uvicorn's protocol serves connections on the broker's event loop.
``uvicorn.Server`` is left out: it would take over signals and wake up ten times a second.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, NamedTuple

import anyio
from anyio import to_thread

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Sequence

    from uvicorn.protocols.http.h11_impl import H11Protocol
    from uvicorn.server import ServerState

    from amqpbroker.auth.server_certificate import ServerCertificate
    from amqpbroker.broker.broker import Broker

logger = logging.getLogger("amqpbroker.management")


class Listener(NamedTuple):
    """An address that the broker accepts clients on, as the API reports it."""

    protocol: str
    """RabbitMQ's name: ``amqp``, ``amqp/ssl``, ``http``, ``https``."""
    host: str
    port: int
    certificate: ServerCertificate | None = None


class Socket(NamedTuple):
    """A listening socket, with TLS if there is a context."""

    sock: socket.socket
    context: ssl.SSLContext | None = None


async def serve(broker: Broker, sockets: Sequence[Socket], listeners: Sequence[Listener]) -> None:
    """Answer HTTP requests on listening sockets until cancelled; ``listeners`` are for show.

    An API that cannot be built is logged and refuses connections; messages go on without it.
    """
    await _first_client(sockets)
    try:
        make_protocol, state = await to_thread.run_sync(_build, broker, listeners)
    except Exception:
        logger.exception("the management API cannot start")
        for each in sockets:
            each.sock.close()
        return
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(make_protocol, sock=each.sock, ssl=each.context)
        for each in sockets
    ]
    try:
        await anyio.sleep_forever()
    finally:
        for server in servers:
            server.close()
        for connection in list(state.connections):
            connection.shutdown()
        for task in list(state.tasks):
            task.cancel()


async def _first_client(sockets: Sequence[Socket]) -> None:
    """Wait until a client knocks; it is not accepted yet."""
    async with anyio.create_task_group() as tasks:

        async def wait(sock: socket.socket) -> None:
            await anyio.wait_readable(sock)
            tasks.cancel_scope.cancel()

        for each in sockets:
            tasks.start_soon(wait, each.sock)


def _build(
    broker: Broker, listeners: Sequence[Listener]
) -> tuple[Callable[[], H11Protocol], ServerState]:
    """Import the heavy half and make the application; runs in a thread."""
    from uvicorn import Config
    from uvicorn.server import ServerState

    from amqpbroker.management.app import create_app
    from amqpbroker.management.protocol import LimitedProtocol

    config = Config(
        create_app(broker, listeners),
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
    )
    config.load()
    state = ServerState()
    return lambda: LimitedProtocol(config=config, server_state=state, app_state={}), state
