"""A client that talks to a session in memory: the bytes of a connection without the socket."""

from __future__ import annotations

from collections import defaultdict, deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pamqp import commands

from amqpbroker.auth.sasl.mechanism import Peer
from amqpbroker.broker.broker import Broker
from amqpbroker.broker.session import Session
from amqpbroker.config import Config
from tests.raw_client import RawClient

if TYPE_CHECKING:
    from amqpbroker.broker.channel import Channel
    from amqpbroker.broker.consumer import Consumer
    from amqpbroker.broker.queue import Queue
    from tests.amqp_bytes import Frame


def make_broker(**settings: Any) -> Broker:
    """Return a broker that keeps everything in memory, and takes no thread to refuse a password."""
    quick = {"password_hashing_module": "rabbit_password_hashing_sha256"}
    broker = Broker(Config(is_memory=True, **quick | settings))
    broker.add_defaults()
    return broker


class MemoryClient(RawClient):
    """A :class:`~tests.raw_client.RawClient` whose other end is a session.

    What it sends is handled before ``send`` returns. What the broker writes waits in the session,
    as for a client that does not read, until the test reads; and it comes only if the session was
    woken, for in the server nobody would send it otherwise.
    """

    def __init__(self, broker: Broker) -> None:
        self._buffer = bytearray()
        self._waiting: dict[int, deque[Frame]] = defaultdict(deque)
        self._is_woken = False
        self.vhost = broker.config.default_vhost
        self.frame_size_max = 131072
        self.is_external = False
        self.broker = broker
        peer = Peer(is_loopback=True, certificate=None)
        self.session = Session(broker, name="memory", peer=peer, wake=self._wake)

    def _wake(self) -> None:
        self._is_woken = True

    def send(self, data: bytes) -> None:
        """Have bytes handled; fail if that has to wait for anything."""
        handled = self.session.receive(data)
        try:
            handled.send(None)
        except StopIteration:
            self.broker.flush()
        else:
            handled.close()
            raise AssertionError("the handler waits")

    def pump(self) -> bool:
        """Do one turn of the server's writer; return whether there was anything to write."""
        wire = self.session.wire
        if not self._is_woken or not wire.outgoing:
            self._is_woken = False
            return False
        self._buffer += wire.data_to_send()
        if self.session.stalled_consumers:
            self.session.drained()
            self.broker.flush()
        return True

    def receive(self, size: int) -> bytes:
        """Return exactly ``size`` bytes; raises EOFError if the broker has sent less."""
        while len(self._buffer) < size:
            if not self.pump():
                raise EOFError(f"the broker sent no more than {bytes(self._buffer)!r}")
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def receive_to_end(self) -> bytes:
        """Return all that the broker has sent."""
        while self.pump():
            pass
        data = bytes(self._buffer)
        self._buffer.clear()
        return data

    def close(self) -> None:
        """Vanish, as the server sees a socket that is gone."""
        self.session.finish()
        self.broker.flush()

    abort = close

    @property
    def is_silent(self) -> bool:
        """Whether the broker has sent nothing that was not read."""
        while self.pump():
            pass
        return not self._buffer and not any(self._waiting.values())

    def messages(self, channel: int = 1) -> list[bytes]:
        """Return the bodies of all deliveries of ``channel`` that have come."""
        bodies = []
        while self._waiting[channel] or not self.is_silent:
            bodies.append(self.deliver(channel).body)
        return bodies

    def acked(self, channel: int = 1) -> list[tuple[int, bool]]:
        """Return tag and multiple of all confirms that have come; nothing else may have."""
        acks = []
        with suppress(EOFError):
            while True:
                ack = self.read(commands.Basic.Ack, channel)
                acks.append((ack.delivery_tag or 0, bool(ack.multiple)))
        return acks

    def takers_one_by_one(self, count: int) -> list[str]:
        """Ack so many deliveries, each before the next; return the tags of who got them."""
        tags = []
        for _ in range(count):
            message = self.deliver()
            tags.append(str(message.command["consumer_tag"]))
            self.ack(message.tag)
        return tags

    def qos(self, count: int, *, is_global: bool = False, channel: int = 1) -> None:
        """Set a prefetch."""
        command = commands.Basic.Qos(prefetch_count=count, global_=is_global)
        self.call(command, commands.Basic.QosOk, channel)

    def cancel(self, tag: str, channel: int = 1) -> None:
        """Cancel a consumer; cancel-ok must be the next frame."""
        self.call(commands.Basic.Cancel(tag), commands.Basic.CancelOk, channel)

    def delete(self, queue: str, channel: int = 1) -> None:
        """Delete a queue; delete-ok must be the next frame."""
        self.call(commands.Queue.Delete(queue=queue), commands.Queue.DeleteOk, channel)

    # What the broker knows of this client

    def channel(self, number: int = 1) -> Channel:
        """Return a channel as the broker sees it."""
        return self.session.channels[number]

    def consumer(self, tag: str, channel: int = 1) -> Consumer:
        """Return a consumer as the broker sees it."""
        return self.channel(channel).consumers[tag]

    def queue(self, name: str) -> Queue:
        """Return a queue as the broker sees it."""
        return self.broker.vhosts[self.vhost].queues[name]


def connect(broker: Broker, *channels: int) -> MemoryClient:
    """Return a client that has logged in, with ``channels`` (by default 1) open."""
    client = MemoryClient(broker)
    client.login()
    client.tune_ok()
    client.open()
    for number in channels or (1,):
        client.open_channel(number)
    return client
