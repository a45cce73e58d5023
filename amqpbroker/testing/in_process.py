"""A broker whose only listener is in memory; everything else is what ``amqpbroker serve`` runs.

So heartbeats, alarms and drains are what they are on a socket. What the machine is short of is not
measured.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
from anyio.abc import ByteStream, Listener

from amqpbroker.broker.opening import open_on
from amqpbroker.server import TICK_S, Server
from amqpbroker.testing.streams import MemoryStream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from anyio.abc import TaskGroup

    from amqpbroker.broker.broker import Broker
    from amqpbroker.broker.opening import Ground
    from amqpbroker.config import Config

T = TypeVar("T")

FIRST_PORT = 50_000


class MemoryListener(Listener[ByteStream]):
    """Accepts the connections that ``connect`` makes."""

    def __init__(self) -> None:
        self._ports = count(FIRST_PORT)
        self._accept: Callable[[ByteStream], object] | None = None
        self._closed = anyio.Event()
        self.is_ready = anyio.Event()

    def connect(self, on_data: Callable[[bytes], None]) -> MemoryStream:
        """Return a new connection; ``on_data`` gets what the broker sends.

        Raises ConnectionRefusedError when nobody listens.
        """
        if self._accept is None:
            raise ConnectionRefusedError
        stream = MemoryStream(next(self._ports), on_data)
        self._accept(stream)
        return stream

    async def serve(
        self, handler: Callable[[ByteStream], Any], task_group: TaskGroup | None = None
    ) -> None:
        """Accept until closed or cancelled."""
        async with anyio.create_task_group() as own:
            tasks = task_group or own
            self._accept = partial(tasks.start_soon, handler)  # type: ignore[arg-type]
            self.is_ready.set()
            try:
                await self._closed.wait()
            finally:
                self._accept = None

    async def aclose(self) -> None:
        """Accept no more."""
        self._closed.set()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """Return nothing: there is no socket."""
        return {}


class InOrder(set[T]):
    """A set that is gone through in the order of addition, so that two runs are the same."""

    def __init__(self) -> None:
        super().__init__()
        self._order: dict[T, None] = {}

    def add(self, element: T) -> None:
        """See `set.add`."""
        super().add(element)
        self._order[element] = None

    def discard(self, element: object) -> None:
        """See `set.discard`."""
        super().discard(element)
        self._order.pop(element, None)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[T]:
        return iter(self._order)


class InProcessBroker(Server):
    """Made by `in_process`; ``broker`` is for looking inside."""

    def __init__(self, config: Config, broker: Broker) -> None:
        super().__init__(config, broker)
        self.connections = InOrder()
        self.listener = MemoryListener()
        self._listeners.append(self.listener)
        self.connect = self.listener.connect

    async def _tick(self) -> None:
        while True:
            await anyio.sleep(TICK_S)
            now = anyio.current_time()
            for connection in list(self.connections):
                connection.tick(now)


@asynccontextmanager
async def in_process(ground: Ground, config: Config) -> AsyncIterator[InProcessBroker]:
    """Run a broker; at the end it is drained and closed.

    Raises what `amqpbroker.broker.opening.open_broker` raises.
    """
    async with open_on(ground, config) as broker:
        server = InProcessBroker(config, broker)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve)
            await server.listener.is_ready.wait()
            yield server
            await server.drain()
