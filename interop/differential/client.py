"""A raw blocking client: one socket, every frame recorded, nothing checked before it is sent.

It answers only what keeps a session deterministic: ``channel.close`` and ``connection.close``
get their ``-ok`` at once. Everything else is decided by the program.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from dataclasses import dataclass, field
from typing import Any, Final

from interop.differential import codec

PROTOCOL_HEADER: Final = b"AMQP\x00\x00\x09\x01"
FRAME_SIZE_MAX: Final = 131072
CHANNEL_MAX: Final = 2047
_RECEIVE_SIZE: Final = 1 << 18


class NoAnswer(Exception):
    """The broker did not answer within the time allowed."""


@dataclass(frozen=True)
class Endpoint:
    """Where a broker listens, and as whom and into which vhost to log in."""

    host: str
    port: int
    vhost: str = "/"
    user: str = "guest"
    password: str = "guest"
    timeout_s: float = 5.0


@dataclass
class Received:
    """A method with its content, if it has one.

    ``is_late``: a basic.return whose message had been confirmed before.
    ``is_interleaved``: the close of a channel on which delivery tags depend on a race.
    """

    name: str
    args: dict[str, Any]
    raw_properties: bytes = b""
    body: bytes = b""
    body_frame_sizes: list[int] = field(default_factory=list)
    body_size: int = 0
    is_late: bool = False
    is_interleaved: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether all body bytes that the header announced are here."""
        return len(self.body) >= self.body_size


@dataclass
class Tuning:
    """What the client sends in the handshake; the defaults are those of a polite client."""

    vhost: str | None = None
    user: str | None = None
    password: str | None = None
    mechanism: str = "PLAIN"
    channel_max: int = CHANNEL_MAX
    frame_size_max: int = FRAME_SIZE_MAX
    header: bytes = PROTOCOL_HEADER
    wants_cancel_notify: bool = True
    wants_failure_close: bool = True

    def client_properties(self) -> codec.Table:
        """Return the table of connection.start-ok."""
        capabilities = [
            ("consumer_cancel_notify", "t", self.wants_cancel_notify),
            ("authentication_failure_close", "t", self.wants_failure_close),
            ("publisher_confirms", "t", True),
            ("connection.blocked", "t", True),
        ]
        return [("product", "S", "differential"), ("capabilities", "F", capabilities)]


class Connection:
    """One TCP connection; ``log`` holds (channel, method) in the order of arrival."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.log: list[tuple[int, Received]] = []
        self.is_open = False
        self.is_eof = False
        self.is_ending = False
        self.tuning = Tuning()
        self._buffer = bytearray()
        self._partial: dict[int, Received] = {}
        self._header_due: dict[int, Received] = {}
        self.socket = socket.create_connection(
            (endpoint.host, endpoint.port), timeout=endpoint.timeout_s
        )
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def deadline(self) -> float:
        """Return when patience ends, counted from now (monotonic seconds)."""
        return time.monotonic() + self.endpoint.timeout_s

    def send(self, data: bytes) -> None:
        """Write bytes; that the broker closed the socket shows when reading."""
        if self.is_eof:
            return
        with contextlib.suppress(OSError):
            self.socket.sendall(data)

    def send_method(self, channel: int, name: str, **args: Any) -> None:
        """Write one method frame."""
        payload = codec.encode_method(name, args)
        self.send(codec.encode_frame(codec.FRAME_METHOD, channel, payload))

    def receive(self, deadline: float) -> None:
        """Read once and log what has become whole; raises NoAnswer at ``deadline``."""
        if self.is_eof:
            return
        self.socket.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            data = self.socket.recv(_RECEIVE_SIZE)
        except TimeoutError:
            if time.monotonic() >= deadline:
                raise NoAnswer from None
            return
        except OSError:
            data = b""
        if not data:
            if self.is_open or not self.is_ending:
                self.log.append((0, Received("end-of-file", {})))
            self.is_eof = True
            self.is_open = False
        self._buffer += data
        self._take_frames()

    def _take_frames(self) -> None:
        at = 0
        buffer = self._buffer
        while len(buffer) - at >= codec.FRAME_OVERHEAD:
            kind, channel, size = struct.unpack_from(">BHI", buffer, at)
            end = at + 7 + size
            if buffer[at : at + 4] == b"AMQP":
                self.log.append((0, Received("protocol-header", {"bytes": bytes(buffer[at:])})))
                at = len(buffer)
                break
            if len(buffer) <= end:
                break
            payload = bytes(buffer[at + 7 : end])
            if buffer[end] != codec.FRAME_END:
                self.log.append((channel, Received("bad-frame-end", {"octet": buffer[end]})))
            self._on_frame(codec.Frame(kind, channel, payload))
            at = end + 1
        del buffer[:at]

    def _on_frame(self, frame: codec.Frame) -> None:
        if frame.kind == codec.FRAME_HEARTBEAT:
            return
        try:
            received = self._assemble(frame)
        except (codec.CodecError, struct.error) as error:
            bad = {"kind": frame.kind, "payload": frame.payload.hex()[:200], "error": str(error)}
            received = Received("bad-frame", bad)
        if received is not None:
            self.log.append((frame.channel, received))
            self._on_method(frame.channel, received)

    def _assemble(self, frame: codec.Frame) -> Received | None:
        if frame.kind == codec.FRAME_METHOD:
            name, args = codec.decode_method(frame.payload)
            received = Received(name, args)
            if name in codec.CONTENT_METHODS:
                self._header_due[frame.channel] = received
                return None
            return received
        if frame.kind == codec.FRAME_HEADER:
            received = self._pop(self._header_due, frame.channel)
            received.body_size, received.raw_properties = codec.decode_header(frame.payload)
        elif frame.kind == codec.FRAME_BODY:
            received = self._pop(self._partial, frame.channel)
            received.body += frame.payload
            received.body_frame_sizes.append(len(frame.payload))
        else:
            raise codec.CodecError(f"frame type {frame.kind}")
        if received.is_whole:
            return received
        self._partial[frame.channel] = received
        return None

    @staticmethod
    def _pop(waiting: dict[int, Received], channel: int) -> Received:
        if channel not in waiting:
            raise codec.CodecError("content frame out of order")
        return waiting.pop(channel)

    def _on_method(self, channel: int, received: Received) -> None:
        if received.name == "channel.close":
            self.send_method(channel, "channel.close-ok")
        elif received.name == "connection.close":
            self.send_method(0, "connection.close-ok")
            self.is_open = False
            self.is_ending = True
        elif received.name == "connection.close-ok":
            self.is_open = False
            self.is_ending = True

    def wait_for(self, channel: int, *names: str) -> Received | None:
        """Read until one of ``names`` arrives on ``channel``; None when the connection ends."""
        deadline = self.deadline()
        at = 0
        while True:
            for where, received in self.log[at:]:
                if where == channel and received.name in names:
                    return received
            at = len(self.log)
            if self.is_eof or any(r.name == "connection.close" for _, r in self.log):
                return None
            self.receive(deadline)

    def open(self, tuning: Tuning | None = None) -> bool:
        """Do the handshake; return whether the connection is open. Raises NoAnswer."""
        self.tuning = tuning or Tuning()
        tune = self.tuning
        user = self.endpoint.user if tune.user is None else tune.user
        password = self.endpoint.password if tune.password is None else tune.password
        self.send(tune.header)
        if self.wait_for(0, "connection.start", "protocol-header") is None:
            return False
        if self.log[-1][1].name == "protocol-header":
            return False
        self.send_method(
            0,
            "connection.start-ok",
            client_properties=tune.client_properties(),
            mechanism=tune.mechanism,
            response=f"\0{user}\0{password}",
            locale="en_US",
        )
        if self.wait_for(0, "connection.tune") is None:
            return False
        self._tune_and_open(tune)
        self.is_open = self.wait_for(0, "connection.open-ok") is not None
        return self.is_open

    def _tune_and_open(self, tune: Tuning) -> None:
        vhost = self.endpoint.vhost if tune.vhost is None else tune.vhost
        self.send_method(
            0,
            "connection.tune-ok",
            channel_max=tune.channel_max,
            frame_max=tune.frame_size_max,
            heartbeat=0,
        )
        self.send_method(0, "connection.open", virtual_host=vhost)

    def drop(self) -> None:
        """Close the socket without a word."""
        self.is_open = False
        self.is_eof = True
        with contextlib.suppress(OSError):
            self.socket.close()
