"""A connection of the crash test: messages in and out, whole, by name."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from pamqp import commands, frame, header

from interop.edges import frames
from interop.edges.client import Client, PeerClosed
from interop.edges.client import connect as connect_client

if TYPE_CHECKING:
    from collections.abc import Callable

    from interop.edges.frames import Frame

_PERSISTENT = commands.Basic.Properties(delivery_mode=2)
_TRANSIENT = commands.Basic.Properties(delivery_mode=1)


class Delivery(NamedTuple):
    """A message that has come."""

    tag: int
    redelivered: bool
    name: str


class Connection:
    """One connection with channel 1, on which deliveries and confirms are handed on."""

    def __init__(self) -> None:
        self.deliveries: deque[Delivery] = deque()
        self.on_confirm: Callable[[int, bool], None] = lambda tag, multiple: None
        self.refused = 0
        """Confirms that were nacks; there must be none."""
        self.blocked: list[str] = []
        """What the broker has said of its resources: a reason, and ``""`` when all is well."""
        self._has_news = asyncio.Event()
        self._deliver: commands.Basic.Deliver | None = None
        self.client: Client

    def _on_frame(self, item: Frame) -> None:
        if item.kind == frames.BODY:
            assert self._deliver is not None
            method, self._deliver = self._deliver, None
            assert method.delivery_tag is not None
            delivery = Delivery(method.delivery_tag, bool(method.redelivered), _name(item.payload))
            self.deliveries.append(delivery)
            self._has_news.set()
        elif item.kind == frames.METHOD:
            method = item.method()  # type: ignore[assignment]
            if isinstance(method, commands.Basic.Deliver):
                self._deliver = method
            elif isinstance(method, commands.Basic.Ack):
                self.on_confirm(method.delivery_tag or 0, bool(method.multiple))
            elif isinstance(method, commands.Basic.Nack):
                self.refused += 1
            elif isinstance(method, commands.Connection.Blocked):
                self.blocked.append(method.reason or "")
            elif isinstance(method, commands.Connection.Unblocked):
                self.blocked.append("")

    async def next(self, timeout_s: float) -> Delivery | None:
        """Return the next message; None if none comes in time.

        Raises PeerClosed if the broker is gone.
        """
        while not self.deliveries:
            if self.client.closed.done():
                raise PeerClosed(self.client.closed.result())
            self._has_news.clear()
            if not await first_of(self._has_news, self.client.closed, timeout_s):
                return None
        return self.deliveries.popleft()

    def publish(
        self, name: str, *, exchange: str = "", routing_key: str = "", is_persistent: bool = True
    ) -> None:
        """Publish a message."""
        body = _body(name)
        method = commands.Basic.Publish(exchange=exchange, routing_key=routing_key)
        properties = _PERSISTENT if is_persistent else _TRANSIENT
        content = header.ContentHeader(body_size=len(body), properties=properties)
        self.send(
            frames.method(method)
            + frame.marshal(content, 1)
            + frames.envelope(frames.BODY, 1, body)
        )

    def send(self, data: bytes) -> None:
        """Write frames; raises PeerClosed if the broker is gone."""
        if self.client.closed.done():
            raise PeerClosed(self.client.closed.result())
        self.client.send(data)

    def ack(self, tag: int, *, multiple: bool = False) -> None:
        """Send basic.ack."""
        self.send(frames.method(commands.Basic.Ack(tag, multiple)))

    def nack(self, tag: int, *, requeue: bool) -> None:
        """Send basic.nack."""
        self.send(frames.method(commands.Basic.Nack(tag, False, requeue)))

    async def consume(self, queue: str, prefetch: int) -> None:
        """Start a consumer."""
        await self.client.call(commands.Basic.Qos(prefetch_count=prefetch))
        await self.client.call(commands.Basic.Consume(queue=queue))

    async def close(self) -> None:
        """Close politely."""
        await self.client.close()


async def first_of(
    event: asyncio.Event, closed: asyncio.Future[str], timeout_s: float | None = None
) -> bool:
    """Wait for an event or the end of a connection; return whether either has come in time."""
    waiting = asyncio.ensure_future(event.wait())
    try:
        futures: list[asyncio.Future[Any]] = [waiting, closed]
        done, _ = await asyncio.wait(
            futures, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        waiting.cancel()
    return bool(done)


def _body(name: str) -> bytes:
    """Return a body that begins with the name; its size depends on the number."""
    return name.encode() + b" " + b"x" * (int(name.rpartition("-")[2]) * 37 % 400)


def _name(body: bytes) -> str:
    return body.partition(b" ")[0].decode()


async def connect(port: int) -> Connection:
    """Open a connection."""
    connection = Connection()
    connection.client = client = await connect_client("127.0.0.1", port, connection._on_frame)
    client.closed.add_done_callback(lambda _: client.transport.close())
    return connection
