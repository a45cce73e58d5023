"""A blocking client that only declares durable queues, as fast as a broker answers."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from pamqp import commands

from interop.edges import frames

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interop.edges.broker import Broker

REPLY_TIMEOUT_S: Final = 120.0
READ_SIZE: Final = 1 << 18


class DeclareFailed(Exception):
    """The broker answered with something else, or not at all."""


class DeclareClient:
    """One connection with one channel; a context manager."""

    def __init__(self, broker: Broker) -> None:
        self._buffer = bytearray()
        self._socket = socket.create_connection((broker.host, broker.port), REPLY_TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opening = frames.tune_ok() + frames.OPEN
        for data in (frames.PROTOCOL_HEADER, frames.START_OK, opening, frames.CHANNEL_OPEN):
            self._socket.sendall(data)
            self._answers()

    def __enter__(self) -> DeclareClient:
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()

    def declare(self, names: Iterable[str], window: int) -> int:
        """Declare queues with at most ``window`` unanswered; return how many.

        Raises:
            DeclareFailed: the broker refused one or closed the connection.
        """
        count = waiting = 0
        for batch in _batches(names, max(1, window // 2)):
            self._socket.sendall(b"".join(map(declare_frame, batch)))
            count += len(batch)
            waiting += len(batch)
            while waiting > window // 2:
                waiting -= self._declared()
        while waiting:
            waiting -= self._declared()
        return count

    def delete(self, names: Iterable[str]) -> None:
        """Delete queues; no answer is asked for but the last one."""
        for batch in _batches(names, 1000):
            requests = [commands.Queue.Delete(queue=name, nowait=True) for name in batch]
            self._socket.sendall(b"".join(map(frames.method, requests)))
        self._socket.sendall(frames.method(commands.Basic.Qos()))
        self._answers()

    def _declared(self) -> int:
        answers = self._answers()
        for answer in answers:
            if answer.method_index != commands.Queue.DeclareOk.index:
                raise DeclareFailed(f"the broker answered {answer.method()}")
        return len(answers)

    def _answers(self) -> list[frames.Frame]:
        while True:
            data = self._socket.recv(READ_SIZE)
            if not data:
                raise DeclareFailed("the broker closed the connection")
            self._buffer += data
            if found := frames.split(self._buffer):
                return found


def declare_frame(name: str) -> bytes:
    """Return queue.declare for a durable classic queue without arguments."""
    encoded = name.encode()
    payload = b"\0\x32\0\x0a\0\0%c%b\x02\0\0\0\0" % (len(encoded), encoded)
    return frames.envelope(frames.METHOD, 1, payload)


def _batches(names: Iterable[str], size: int) -> Iterable[list[str]]:
    batch: list[str] = []
    for name in names:
        batch.append(name)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
