"""A client that speaks TLS, sends prepared frames and counts what comes."""

from __future__ import annotations

import socket
import ssl
import struct
from typing import TYPE_CHECKING, Any, Final

from pamqp import base, commands, frame

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event

DEADLINE_S: Final = 120.0
PUBLISH_COUNT: Final = 200
"""Messages that are handed to TLS at once."""
READ_SIZE: Final = 1 << 18


class TlsClient:
    """One connection with channel 1 open, as guest."""

    def __init__(self, host: str, port: int) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        plain = socket.create_connection((host, port), DEADLINE_S)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = context.wrap_socket(plain)
        self._buffer = bytearray()
        self._socket.sendall(b"AMQP\x00\x00\x09\x01")
        self._read()
        self.call(commands.Connection.StartOk({}, "PLAIN", "\0guest\0guest"), 0)
        self.send(commands.Connection.TuneOk(2047, 131072, 0), 0)
        self.call(commands.Connection.Open("/"), 0)
        self.call(commands.Channel.Open())

    def send(self, command: base.Frame, channel: int = 1) -> None:
        """Send a method."""
        self._socket.sendall(frame.marshal(command, channel))

    def call(self, command: base.Frame, channel: int = 1) -> Any:
        """Send a method and return the answer."""
        self.send(command, channel)
        return self._read()

    def _read(self) -> Any:
        while len(self._buffer) < 7 or len(self._buffer) < 8 + self._size():
            self._buffer += self._socket.recv(READ_SIZE)
        size = 8 + self._size()
        command = frame.unmarshal(bytes(self._buffer[:size]))[2]
        del self._buffer[:size]
        return command

    def _size(self) -> int:
        size: int = struct.unpack_from(">I", self._buffer, 3)[0]
        return size

    def publish(self, queue: str, count: int, size: int) -> None:
        """Publish messages of ``size`` bytes to a queue."""
        method = frame.marshal(commands.Basic.Publish(routing_key=queue), 1)
        header = struct.pack(">BHIHHQHB", 2, 1, 14, 60, 0, size, 0, 0xCE)
        body = struct.pack(">BHI", 3, 1, size) + bytes(size) + b"\xce"
        data = (method + header + body) * PUBLISH_COUNT
        for _ in range(count // PUBLISH_COUNT):
            self._socket.sendall(data)

    def consume(self, queue: str) -> None:
        """Declare a queue of this connection and consume it without acknowledgements."""
        self.call(commands.Queue.Declare(queue=queue, exclusive=False, auto_delete=True))
        self.call(commands.Basic.Consume(queue=queue, consumer_tag="c", no_ack=True))

    def count_deliveries(self, queue: str, count: int, size: int) -> None:
        """Read until ``count`` deliveries of ``size`` bytes are there."""
        deliver = commands.Basic.Deliver("c", 1, False, "", queue)
        one = len(frame.marshal(deliver, 1)) + 8 + 14 + 8 + size
        left = count * one - len(self._buffer)
        while left > 0:
            data = self._socket.recv(READ_SIZE)
            if not data:
                raise EOFError("the broker closed the connection")
            left -= len(data)

    def close(self) -> None:
        """Close in the polite way."""
        self.send(commands.Connection.Close(200, "", 0, 0), 0)
        self._socket.close()


def consume(address: tuple[str, int], queue: str, count: int, size: int, is_ready: Event) -> None:
    """Be the consumer, in a process of its own."""
    client = TlsClient(*address)
    client.consume(queue)
    is_ready.set()
    client.count_deliveries(queue, count, size)
    client.close()
