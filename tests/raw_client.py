"""A client that reads and writes single frames with a deadline.

A test can send what no client library would (half a frame, a wrong method, names that are not
UTF-8) and sees exactly what comes back and in which order.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pamqp import base, commands

from tests.amqp_bytes import (
    BODY,
    FRAME_END,
    HEADER,
    HEARTBEAT,
    PROTOCOL_HEADER,
    Frame,
    Message,
    TypedTable,
    command_frame,
    content_frames,
    describe,
)
from tests.helpers import DEADLINE_S, RunningBroker

if TYPE_CHECKING:
    from collections.abc import Mapping

Command = TypeVar("Command", bound=base.Frame)

CAPABILITIES: Final = {
    "publisher_confirms": True,
    "consumer_cancel_notify": True,
    "exchange_exchange_bindings": True,
    "basic.nack": True,
    "connection.blocked": True,
    "authentication_failure_close": True,
}


class FrameSocket:
    """A blocking socket that carries frames.

    Every read has a deadline and is strict: the next frame *of that channel* must be what the
    test says. Frames of other channels wait until their channel is read; heartbeats are skipped.
    """

    def __init__(self, broker: RunningBroker) -> None:
        self._socket = socket.create_connection((broker.host, broker.port), DEADLINE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()
        self._waiting: dict[int, deque[Frame]] = defaultdict(deque)

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._socket.sendall(data)

    def receive(self, size: int) -> bytes:
        """Return exactly ``size`` bytes; raises EOFError at the end of the stream."""
        while len(self._buffer) < size:
            data = self._socket.recv(65536)
            if not data:
                raise EOFError(f"the broker closed the connection after {bytes(self._buffer)!r}")
            self._buffer += data
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def receive_to_end(self) -> bytes:
        """Return all that comes until the broker closes the connection."""
        with contextlib.suppress(ConnectionResetError):
            while data := self._socket.recv(65536):
                self._buffer += data
        data = bytes(self._buffer)
        self._buffer.clear()
        return data

    def abort(self) -> None:
        """Vanish: close with a reset, so that nothing in flight is answered."""
        linger = struct.pack("ii", 1, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._socket.close()

    def close(self) -> None:
        """Close the socket without an AMQP farewell."""
        self._socket.close()

    def receive_frame(self) -> Frame:
        """Return the next frame of any channel, heartbeats too."""
        kind, channel, size = struct.unpack(">BHI", self.receive(7))
        payload = self.receive(size + 1)
        assert payload[-1] == FRAME_END, f"no frame end after {size} bytes"
        return Frame(kind, channel, payload[:-1])

    def read_frame(self, channel: int = 1) -> Frame:
        """Return the next frame of ``channel``; a connection.close meanwhile fails the test."""
        while not self._waiting[channel]:
            received = self.receive_frame()
            if received.kind == HEARTBEAT:
                continue
            if received.channel == 0 != channel and received.ids == (10, 50):
                raise AssertionError(f"connection closed: {describe(received.command)}")
            self._waiting[received.channel].append(received)
        return self._waiting[channel].popleft()

    def read(self, kind: type[Command], channel: int = 1) -> Command:
        """Return the next method of ``channel``, which must be a ``kind``."""
        command = self.read_frame(channel).command
        assert isinstance(command, kind), f"expected {kind.name}, got {describe(command)}"
        return command

    def send_command(
        self, command: base.Frame, channel: int = 1, arguments: TypedTable | None = None
    ) -> None:
        """Send one pamqp command; ``arguments`` replace its table, type by type."""
        self.send(command_frame(command, channel, arguments))

    def call(
        self,
        command: base.Frame,
        kind: type[Command],
        channel: int = 1,
        arguments: TypedTable | None = None,
    ) -> Command:
        """Send a command and return the answer, which must be the next frame and a ``kind``."""
        self.send_command(command, channel, arguments)
        return self.read(kind, channel)


class ProtocolClient(FrameSocket):
    """Handshake, channels, and the two ways in which the broker reports errors."""

    def __init__(self, broker: RunningBroker) -> None:
        super().__init__(broker)
        self.vhost = broker.vhost
        self.is_external = broker.process is None
        self.frame_size_max = 131072

    def start(self) -> commands.Connection.Start:
        """Send the protocol header and return connection.start."""
        self.send(PROTOCOL_HEADER)
        return self.read(commands.Connection.Start, 0)

    def start_ok(
        self,
        response: str = "\0guest\0guest",
        mechanism: str = "PLAIN",
        capabilities: Mapping[str, bool] = CAPABILITIES,
    ) -> None:
        """Send connection.start-ok with these credentials and client capabilities."""
        fields: dict[str, Any] = {"capabilities": dict(capabilities)}
        self.send_command(commands.Connection.StartOk(fields, mechanism, response), 0)

    def login(
        self, user: str = "guest", capabilities: Mapping[str, bool] = CAPABILITIES
    ) -> commands.Connection.Tune:
        """Do the handshake up to connection.tune; the password equals the user's name."""
        self.start()
        self.start_ok(f"\0{user}\0{user}", capabilities=capabilities)
        return self.read(commands.Connection.Tune, 0)

    def tune_ok(self, channel_max: int = 2047, frame_max: int = 131072, heartbeat: int = 0) -> None:
        """Send connection.tune-ok."""
        self.frame_size_max = frame_max
        self.send_command(commands.Connection.TuneOk(channel_max, frame_max, heartbeat), 0)

    def open(self, vhost: str | None = None) -> None:
        """Send connection.open and expect open-ok."""
        command = commands.Connection.Open(self.vhost if vhost is None else vhost)
        self.call(command, commands.Connection.OpenOk, 0)

    def open_channel(self, channel: int = 1) -> None:
        """Open a channel and expect open-ok."""
        self.call(commands.Channel.Open(), commands.Channel.OpenOk, channel)

    def close_channel(self, channel: int = 1) -> None:
        """Close a channel and expect close-ok as the next frame of it."""
        close = commands.Channel.Close(200, "", 0, 0)
        self.call(close, commands.Channel.CloseOk, channel)

    def close_connection(self) -> None:
        """Close in the polite way: wait for close-ok, then hang up."""
        self.call(commands.Connection.Close(200, "", 0, 0), commands.Connection.CloseOk, 0)
        self.close()

    def expect_channel_error(
        self, code: int, text: str, ids: tuple[int, int], channel: int = 1
    ) -> None:
        """Expect channel.close with exactly this code, text and ids, and answer close-ok."""
        close = self.read(commands.Channel.Close, channel)
        assert _reason(close) == (code, text, *ids)
        self.send_command(commands.Channel.CloseOk(), channel)

    def expect_connection_error(self, code: int, text: str, ids: tuple[int, int] = (0, 0)) -> None:
        """Expect connection.close with exactly this code, text and ids, and answer close-ok."""
        assert self.read_close(code) == (code, text, *ids)
        self.send_command(commands.Connection.CloseOk(), 0)

    def read_close(self, code: int) -> tuple[Any, ...]:
        """Expect connection.close with ``code``; return its code, text, class and method."""
        reason = _reason(self.read(commands.Connection.Close, 0))
        assert reason[0] == code, f"connection closed: {reason}"
        return reason


class RawClient(ProtocolClient):
    """Queues and messages, on channel 1 unless told otherwise."""

    def resource(self, kind: str, name: str) -> str:
        """Return how error texts name an exchange or a queue of this client's vhost."""
        return f"{kind} '{name}' in vhost '{self.vhost}'"

    def declare(
        self,
        queue: str = "",
        arguments: TypedTable | None = None,
        *,
        channel: int = 1,
        passive: bool = False,
        durable: bool = False,
        exclusive: bool = False,
        auto_delete: bool = False,
    ) -> str:
        """Declare a queue and return its name."""
        command = commands.Queue.Declare(
            queue=queue,
            passive=passive,
            durable=durable,
            exclusive=exclusive,
            auto_delete=auto_delete,
        )
        return str(self.call(command, commands.Queue.DeclareOk, channel, arguments).queue)

    def bind(
        self, queue: str, exchange: str, key: str = "", arguments: TypedTable | None = None
    ) -> None:
        """Bind a queue on channel 1."""
        command = commands.Queue.Bind(queue=queue, exchange=exchange, routing_key=key)
        self.call(command, commands.Queue.BindOk, 1, arguments)

    def counts(self, queue: str, channel: int = 1) -> tuple[int, int]:
        """Return (ready messages, consumers) as a passive declare tells them.

        Another broker is asked twice: RabbitMQ's queues answer this question before they look
        at publishes that came earlier.
        """
        command = commands.Queue.Declare(queue=queue, passive=True)
        for _ in range(2 if self.is_external else 1):
            answer = self.call(command, commands.Queue.DeclareOk, channel)
        return answer.message_count or 0, answer.consumer_count or 0

    def publish(
        self,
        queue: str,
        *bodies: bytes,
        exchange: str = "",
        header: bytes = bytes(2),
        channel: int = 1,
        mandatory: bool = False,
    ) -> None:
        """Publish bodies with routing key ``queue`` and encoded properties ``header``."""
        command = commands.Basic.Publish(exchange=exchange, routing_key=queue, mandatory=mandatory)
        method = command_frame(command, channel)
        chunk = self.frame_size_max - 8
        self.send(b"".join(method + content_frames(channel, b, header, chunk) for b in bodies))

    def consume(
        self,
        queue: str,
        arguments: TypedTable | None = None,
        *,
        tag: str = "",
        no_ack: bool = False,
        exclusive: bool = False,
        channel: int = 1,
    ) -> str:
        """Consume and return the consumer tag; consume-ok must be the next frame."""
        command = commands.Basic.Consume(
            queue=queue, consumer_tag=tag, no_ack=no_ack, exclusive=exclusive
        )
        return str(self.call(command, commands.Basic.ConsumeOk, channel, arguments).consumer_tag)

    def read_message(self, kind: type[base.Frame], channel: int = 1) -> Message:
        """Return the next method of ``channel``, which must be a ``kind``, with its content."""
        command: base.Frame = self.read(kind, channel)
        header = self.read_frame(channel)
        assert header.kind == HEADER, f"expected a content header, got {header}"
        class_id, weight, size = struct.unpack_from(">HHQ", header.payload)
        assert (class_id, weight) == (60, 0)
        parts: list[bytes] = []
        while sum(map(len, parts)) < size:
            part = self.read_frame(channel)
            assert part.kind == BODY, f"expected a body frame, got {part}"
            parts.append(part.payload)
        body = b"".join(parts)
        assert len(body) == size
        return Message(command, header.payload[12:], body, tuple(map(len, parts)))

    def deliver(self, channel: int = 1) -> Message:
        """Return the next delivery of ``channel``."""
        return self.read_message(commands.Basic.Deliver, channel)

    def delivers(self, count: int, channel: int = 1) -> list[bytes]:
        """Return the bodies of the next ``count`` deliveries of ``channel``."""
        return [self.deliver(channel).body for _ in range(count)]

    def get(self, queue: str, *, no_ack: bool = True, channel: int = 1) -> Message | None:
        """Get one message, or None if the queue is empty."""
        self.send_command(commands.Basic.Get(queue=queue, no_ack=no_ack), channel)
        received = self.read_frame(channel)
        if received.ids == (60, 72):
            return None
        self._waiting[channel].appendleft(received)
        return self.read_message(commands.Basic.GetOk, channel)

    def get_all(self, queue: str) -> list[bytes]:
        """Get and settle messages until the queue is empty; return their bodies in order."""
        bodies = []
        while message := self.get(queue):
            bodies.append(message.body)
        return bodies

    def ack(self, tag: int, *, multiple: bool = False, channel: int = 1) -> None:
        """Send basic.ack."""
        self.send_command(commands.Basic.Ack(tag, multiple), channel)

    def nack(
        self, tag: int, *, multiple: bool = False, requeue: bool = True, channel: int = 1
    ) -> None:
        """Send basic.nack."""
        self.send_command(commands.Basic.Nack(tag, multiple, requeue), channel)

    def reject(self, tag: int, *, requeue: bool = True, channel: int = 1) -> None:
        """Send basic.reject."""
        self.send_command(commands.Basic.Reject(tag, requeue), channel)

    def is_quiet(self, queue: str, channel: int = 1) -> bool:
        """Return whether the queue has nothing under way to this channel.

        The first answer comes from the queue, after all that it sent before; the second answer
        comes over the channel after what the queue sent.
        """
        self.counts(queue, channel)
        self.counts(queue, channel)
        return not self._waiting[channel]


def _reason(close: base.Frame) -> tuple[Any, ...]:
    return tuple(close[name] for name in ("reply_code", "reply_text", "class_id", "method_id"))
