"""The server's side of an AMQP connection as a state machine without I/O.

Rule 1: bytes go in by ``receive_data``, which yields ``(channel number, event)``; methods go out by
``send`` and content by the encoders, into ``outgoing``. Nothing here reads a clock or a socket.

Rule 2: everything that decides whether a frame is legal lives in this file.

``receive_data`` is a generator on purpose: the caller acts on an event before the next one is
parsed, so that a channel closed by the answer to one frame drops the frames behind it (FEATURES
A2.3, T16) although both came in one read.

States of a connection::

    HEADER ─ protocol header ─▶ STARTING ─ start-ok ─▶ SECURING ─▶ TUNING ─ tune-ok ─▶ OPENING
       ─ open ─▶ RUNNING ─ close sent ─▶ CLOSING ─ close-ok ─▶ CLOSED

A client's connection.close leads from RUNNING to CLOSED when the answer is sent. The caller moves
from STARTING or SECURING by sending secure or tune; tune-ok itself leads to OPENING.

The fast path: a publisher mostly repeats itself, so the bytes from the start of a publish to the
start of its body are compared with those of the last publish. Equal bytes mean the same channel,
exchange, key, properties and body size, and nothing has to be parsed (cost: one ``startswith`` and
one slice a message). A publish that is no repeat but lies whole in what was read is taken at once
too. The slow path below is the whole truth; a test holds them together.
"""

from __future__ import annotations

import enum
import struct
from typing import TYPE_CHECKING, Final, TypeAlias

from amqpbroker.errors import (
    HardError,
    SoftError,
    channel_error,
    frame_error,
    not_allowed,
    precondition_failed,
    unexpected_frame,
)
from amqpbroker.wire import methods as m
from amqpbroker.wire.codec import Method, decode_method, encode_method
from amqpbroker.wire.constants import (
    CLASS_BASIC,
    FRAME_BODY,
    FRAME_END,
    FRAME_HEADER,
    FRAME_HEARTBEAT,
    FRAME_METHOD,
    FRAME_OVERHEAD_SIZE,
    FRAME_SIZE_FUDGE,
    HANDSHAKE_FRAME_SIZE_MAX,
    PROTOCOL_HEADER,
    PROTOCOL_HEADER_0_9,
)
from amqpbroker.wire.content import Publication
from amqpbroker.wire.erlang import format_frame
from amqpbroker.wire.events import Acks, Event, ProtocolHeader, Publish
from amqpbroker.wire.properties import decode_properties
from amqpbroker.wire.runs import publish_frames, repeated_bodies, run_of_acks

if TYPE_CHECKING:
    from collections.abc import Iterator

_FRAME: Final = struct.Struct(">BHI")
_HEADER: Final = struct.Struct(">HHQ")
_PUBLISH_IDS: Final = b"\x00\x3c\x00\x28"
_ACK_IDS: Final = b"\x00\x3c\x00\x50"
_ACK_SIZE: Final = 13
_PUBLISH: Final = (60, 40)
HEARTBEAT: Final = b"\x08\x00\x00\x00\x00\x00\x00\xce"

PUBLICATION_CACHE_COUNT_MAX: Final = 64
"""Publications remembered per connection: enough for a client that alternates between keys."""
PUBLICATION_CACHE_SIZE_MAX: Final = 1024
"""Bytes of method and header above which a publication is not worth remembering."""

Yielded: TypeAlias = "Iterator[tuple[int, Event]]"


class State(enum.Enum):
    """Where a connection is; the names are RabbitMQ's, its error texts show them."""

    HEADER = "handshake"
    STARTING = "starting"
    SECURING = "securing"
    TUNING = "tuning"
    OPENING = "opening"
    RUNNING = "running"
    CLOSING = "closing"
    CLOSED = "closed"


_LEGAL: Final[dict[State, frozenset[type[Method]]]] = {
    State.STARTING: frozenset({m.ConnectionStartOk}),
    State.SECURING: frozenset({m.ConnectionSecureOk}),
    State.TUNING: frozenset({m.ConnectionTuneOk}),
    State.OPENING: frozenset({m.ConnectionOpen}),
    State.RUNNING: frozenset({m.ConnectionClose, m.ConnectionUpdateSecret}),
    State.CLOSING: frozenset({m.ConnectionClose, m.ConnectionCloseOk}),
}
_NEXT: Final[dict[type[Method], State]] = {
    m.ConnectionStart: State.STARTING,
    m.ConnectionSecure: State.SECURING,
    m.ConnectionTune: State.TUNING,
    m.ConnectionOpenOk: State.RUNNING,
    m.ConnectionClose: State.CLOSING,
    m.ConnectionCloseOk: State.CLOSED,
}
"""The state after sending a method."""


_AFTER: Final[dict[type[Method], State]] = {
    m.ConnectionTuneOk: State.OPENING,
    m.ConnectionCloseOk: State.CLOSED,
}
"""The state after a client's method that needs no answer."""


class BadProtocolHeader(Exception):
    """The client did not open with an AMQP 0-9-1 header: answer with ours and hang up (A1.1)."""

    def __str__(self) -> str:
        """Return the bytes, and what they look like."""
        header: bytes = self.args[0]
        if header.startswith(b"\x16\x03"):
            return f"{header!r}, TLS on the port without it"
        if header.startswith((b"GET ", b"POST", b"PUT ", b"HEAD")):
            return f"{header!r}, HTTP on the port of AMQP"
        return repr(header)


class _Channel:
    """What the wire knows of a channel: is it open or closing, is content on its way."""

    __slots__ = (
        "bodies",
        "is_closing",
        "is_open",
        "publication",
        "publish",
        "publish_payload",
        "remaining",
    )

    def __init__(self, *, is_open: bool) -> None:
        self.is_open = is_open
        """False while a publish comes in on a channel that was never opened."""
        self.is_closing = False
        self.publish: m.BasicPublish | None = None
        self.publish_payload = b""
        self.publication: Publication | None = None
        self.bodies: list[bytes] = []
        self.remaining = 0

    @property
    def is_idle(self) -> bool:
        """Open, and between commands."""
        return self.publish is None and not self.is_closing

    def drop_content(self) -> None:
        self.publish = self.publication = None
        self.bodies = []


class Connection:
    """One client's connection. Not for subclassing."""

    __slots__ = (
        "_channels",
        "_is_lost",
        "_needed_size",
        "_partial",
        "_partial_size",
        "_publications",
        "_publish_channel",
        "_publish_start",
        "_publish_stop",
        "_publishes",
        "_repeat",
        "channel_count_max",
        "frame_size_max",
        "message_size_max",
        "outgoing",
        "outgoing_size",
        "state",
    )

    def __init__(
        self, *, message_size_max: int, handshake_frame_size_max: int = HANDSHAKE_FRAME_SIZE_MAX
    ) -> None:
        self.state = State.HEADER
        self.frame_size_max = handshake_frame_size_max
        """Bytes, overhead included; what was negotiated after connection.tune-ok."""
        self.channel_count_max = 0
        """0 = no limit; as negotiated, like the size of frames."""
        self.message_size_max = message_size_max
        self.outgoing: list[bytes] = []
        self.outgoing_size = 0
        self._channels: dict[int, _Channel] = {}
        self._partial: list[bytes] = []
        self._partial_size = 0
        self._needed_size = 0
        self._is_lost = False
        self._publishes: dict[bytes, m.BasicPublish] = {}
        self._publications: dict[tuple[bytes, bytes], Publication] = {}
        self._repeat: tuple[bytes, int, Publication] | None = None
        self._publish_channel: _Channel | None = None
        self._publish_start = self._publish_stop = 0

    # bytes out

    def send(self, number: int, method: Method) -> None:
        """Queue a method for the client and follow what it does to the state."""
        if type(method) in _NEXT:
            self.state = _NEXT[type(method)]
            self._repeat = None
        elif type(method) is m.ChannelClose:
            self._channels.setdefault(number, _Channel(is_open=True)).is_closing = True
            self._channels[number].drop_content()
            self._repeat = None
        self.write(encode_method(number, method))

    def write(self, frames: bytes) -> None:
        """Queue frames that are already encoded."""
        self.outgoing.append(frames)
        self.outgoing_size += len(frames)

    def data_to_send(self) -> bytes:
        """Return what is queued, and forget it."""
        outgoing = self.outgoing
        if not outgoing:
            return b""
        data = outgoing[0] if len(outgoing) == 1 else b"".join(outgoing)
        outgoing.clear()
        self.outgoing_size = 0
        return data

    def unsend(self, data: bytes) -> None:
        """Queue again, in front, what could not be sent."""
        self.outgoing.insert(0, data)
        self.outgoing_size += len(data)

    # bytes in

    def receive_repeat(self, data: bytes) -> tuple[int, Publish] | None:
        """Take ``data`` if it is one publish like the last; None if it is for ``receive_data``."""
        if self._repeat is None or self._partial:
            return None
        prefix, number, publication = self._repeat
        size = len(prefix)
        if len(data) != size + publication.body_size + 1 or not data.startswith(prefix):
            return None
        if data[-1] != FRAME_END:
            return None
        return number, Publish(publication, [data[size:-1]])

    def receive_data(self, data: bytes) -> Yielded:
        """Yield what the client asks for, in order.

        Raises :class:`~amqpbroker.errors.HardError` where the stream makes no sense (frames before
        it have been yielded) and :class:`BadProtocolHeader`. After a broken frame the stream cannot
        be followed any more: whatever comes is dropped.
        """
        if self._is_lost:
            return
        if self._partial:
            self._partial.append(data)
            self._partial_size += len(data)
            if self._partial_size < self._needed_size:
                return
            data = b"".join(self._partial)
            self._partial.clear()
        pos = 0
        if self.state is State.HEADER:
            if len(data) < 8 and PROTOCOL_HEADER.startswith(data[:4]):
                self._keep(data, 0, len(data) + 1)
                return
            self._check_protocol_header(data)
            pos = 8
            yield 0, ProtocolHeader()
        yield from self._frames(data, pos)

    def _keep(self, data: bytes, pos: int, needed_size: int) -> None:
        """Keep the rest of ``data`` until it has grown to ``needed_size`` bytes."""
        self._publish_channel = None
        if pos < len(data):
            self._partial.append(data[pos:])
            self._partial_size = len(data) - pos
            self._needed_size = needed_size

    def _frames(self, data: bytes, pos: int) -> Yielded:
        end = len(data)
        while self.state is not State.CLOSED:
            if self._repeat is not None:
                prefix, number, publication = self._repeat
                if data.startswith(prefix, pos):
                    bodies, pos = repeated_bodies(data, pos, prefix, publication.body_size)
                    if bodies:
                        yield number, Publish(publication, bodies)
                        continue
                    stride = len(prefix) + publication.body_size + 1
                    if end - pos < stride:
                        self._keep(data, pos, stride)
                        return
                if end - pos < len(prefix) and prefix.startswith(data[pos:end]):
                    self._keep(data, pos, end - pos + 1)
                    return
            is_publish = data.startswith(_PUBLISH_IDS, pos + 7)
            if is_publish and (whole := self._whole_publish(data, pos)) is not None:
                number, publish, pos = whole
                yield number, publish
                continue
            if end - pos < 7:
                self._keep(data, pos, 7)
                return
            kind, number, size = _FRAME.unpack_from(data, pos)
            if size > self.frame_size_max - FRAME_OVERHEAD_SIZE + FRAME_SIZE_FUDGE:
                limit = self.frame_size_max - FRAME_OVERHEAD_SIZE
                raise self._lost(kind, b"", f"{{frame_too_large,{size},{limit}}}")
            stop = pos + 7 + size
            if stop >= end:
                self._keep(data, pos, size + FRAME_OVERHEAD_SIZE)
                return
            payload = data[pos + 7 : stop]
            if data[stop] != FRAME_END:
                raise self._lost(kind, payload, f"{{invalid_frame_end_marker,{data[stop]}}}")
            if size == _ACK_SIZE and data.startswith(_ACK_IDS, pos + 7) and not payload[12]:
                channel = self._channels.get(number)
                if kind == FRAME_METHOD and channel is not None and channel.is_idle:
                    tags, pos = run_of_acks(data, pos)
                    yield number, Acks(tags)
                    continue
            try:
                event = self._frame(kind, number, payload, (data, pos))
            except HardError:
                self._keep(data, stop + 1, 7)
                raise
            pos = stop + 1
            if event is not None:
                yield number, event

    def _lost(self, kind: int, payload: bytes, why: str) -> HardError:
        """Follow the stream no longer; return the error that says why."""
        self._is_lost = True
        return frame_error(f"{format_frame(kind, payload)}: {why}")

    def _whole_publish(self, data: bytes, pos: int) -> tuple[int, Publish, int] | None:
        """Take the three frames of a publish at once, for publishers that do not repeat themselves.

        Returns the channel, the event and the end; None where anything is out of the ordinary or
        not there yet: then the frames are taken one by one.
        """
        frames = publish_frames(data, pos, self.frame_size_max)
        if frames is None or self.state is not State.RUNNING:
            return None
        number, header, body, stop = frames
        channel = self._channels.get(number)
        body_size = stop - body - FRAME_OVERHEAD_SIZE
        if channel is None or not channel.is_idle or body_size > self.message_size_max:
            return None
        payload = data[pos + 7 : header - 1]
        try:
            publish = self._publishes.get(payload) or self._decode_publish(payload)
            key = (payload, data[header + 7 : body - 1])
            publication = self._publication(publish, key, body_size)
        except HardError:
            return None
        self._remember(data[pos : body + 7], number, publication)
        return number, Publish(publication, [data[body + 7 : stop - 1]]), stop

    def _frame(self, kind: int, number: int, payload: bytes, at: tuple[bytes, int]) -> Event | None:
        """Take one whole frame; ``at`` is the buffer that it lies in and its position there."""
        if number == 0:
            return self._frame_on_zero(kind, payload)
        if self.state is State.CLOSING:
            return None
        if self.state is not State.RUNNING or (kind == FRAME_HEARTBEAT and not payload):
            raise unexpected_frame(format_frame(kind, payload))
        too_short = len(payload) < 12 if kind == FRAME_HEADER else len(payload) < 4
        if kind not in (FRAME_METHOD, FRAME_HEADER, FRAME_BODY) or (
            kind != FRAME_BODY and too_short
        ):
            raise frame_error(f"{format_frame(kind, payload)}: unknown_frame")
        channel = self._channels.get(number)
        if channel is not None and channel.is_closing:
            return self._frame_on_closing(kind, number, payload)
        if channel is None or (kind == FRAME_METHOD and channel.publish is None):
            return self._method(kind, number, payload, at)
        return self._content(kind, number, payload, at)

    def _frame_on_zero(self, kind: int, payload: bytes) -> Event | None:
        if kind == FRAME_HEARTBEAT and not payload:
            return None
        if kind == FRAME_METHOD and len(payload) >= 4:
            method = decode_method(payload)
            if type(method) in _LEGAL[self.state]:
                self.state = _AFTER.get(type(method), self.state)
                return method
            if self.state is State.CLOSING:
                return None
            error = channel_error(f"unexpected method in connection state {self.state.value}")
            error.failing = (method.class_id, method.method_id)
            raise error
        if self.state is State.CLOSING:
            return None
        if kind in (FRAME_HEADER, FRAME_BODY) and (kind == FRAME_BODY or len(payload) >= 12):
            raise unexpected_frame(format_frame(kind, payload))
        raise frame_error(f"{format_frame(kind, payload)}: unknown_frame")

    def _frame_on_closing(self, kind: int, number: int, payload: bytes) -> Event | None:
        """Drop everything until the client confirms the close; answer a close that crosses ours."""
        if kind != FRAME_METHOD or payload[:2] != b"\x00\x14":
            return None
        method = decode_method(payload)
        if type(method) is m.ChannelOpen:
            raise _failed(channel_error("second 'channel.open' seen"), method)
        if type(method) is m.ChannelCloseOk:
            del self._channels[number]
        elif type(method) is m.ChannelClose:
            self.write(encode_method(number, m.ChannelCloseOk()))
        return None

    def _method(
        self, kind: int, number: int, payload: bytes, at: tuple[bytes, int]
    ) -> Event | None:
        channel = self._channels.get(number)
        if channel is None:
            self._check_channel_count()
        if kind != FRAME_METHOD:
            raise unexpected_frame("expected method frame, got non method frame instead")
        if payload.startswith(_PUBLISH_IDS):
            publish = self._publishes.get(payload)
            if publish is None:
                publish = self._decode_publish(payload)
            if channel is None:
                channel = self._channels[number] = _Channel(is_open=False)
            channel.publish = publish
            channel.publish_payload = payload
            self._repeat = None
            self._publish_channel = channel
            self._publish_start = at[1]
            self._publish_stop = at[1] + len(payload) + 8
            return None
        method = decode_method(payload)
        if channel is None:
            return self._open_channel(number, method)
        if type(method) is m.ChannelOpen:
            raise _failed(channel_error("second 'channel.open' seen"), method)
        if type(method) is m.ChannelClose:
            del self._channels[number]
            self._repeat = None
        return method

    def _open_channel(self, number: int, method: Method) -> Event:
        if type(method) is not m.ChannelOpen:
            raise _failed(channel_error("expected 'channel.open'"), method)
        self._channels[number] = _Channel(is_open=True)
        return method

    def _check_channel_count(self) -> None:
        count = len(self._channels)
        if count >= self.channel_count_max > 0:
            raise not_allowed(
                f"number of channels opened ({count}) has reached the "
                f"negotiated channel_max ({self.channel_count_max})"
            )

    def _decode_publish(self, payload: bytes) -> m.BasicPublish:
        publish = decode_method(payload)
        assert isinstance(publish, m.BasicPublish)
        if len(self._publishes) >= PUBLICATION_CACHE_COUNT_MAX:
            self._publishes.clear()
        self._publishes[payload] = publish
        return publish

    def _content(
        self, kind: int, number: int, payload: bytes, at: tuple[bytes, int]
    ) -> Event | None:
        channel = self._channels[number]
        if self._publish_channel is not channel or self._publish_stop != at[1]:
            self._publish_channel = None
        self._publish_stop = at[1] + len(payload) + FRAME_OVERHEAD_SIZE
        if channel.publish is None:
            raise unexpected_frame("expected method frame, got non method frame instead")
        if channel.publication is None:
            return self._content_header(kind, channel, channel.publish, payload)
        if kind != FRAME_BODY:
            raise _publish_failed("expected content body, got non content body frame instead")
        if payload:
            channel.bodies.append(payload)
            channel.remaining -= len(payload)
        if channel.remaining > 0:
            return None
        if channel.remaining < 0:
            raise _publish_failed("expected content body, got non content body frame instead")
        publication = channel.publication
        if self._publish_channel is channel and len(channel.bodies) == 1:
            self._remember(at[0][self._publish_start : at[1] + 7], number, publication)
        bodies = channel.bodies if len(channel.bodies) == 1 else [b"".join(channel.bodies)]
        return self._published(channel, publication, bodies)

    def _published(
        self, channel: _Channel, publication: Publication, bodies: list[bytes]
    ) -> Publish:
        """End a publish; only now it is an error that the channel was never opened."""
        publish = channel.publish
        channel.drop_content()
        if not channel.is_open:
            assert publish is not None
            raise _failed(channel_error("expected 'channel.open'"), publish)
        return Publish(publication, bodies)

    def _remember(self, prefix: bytes, number: int, publication: Publication) -> None:
        """Take the fast path for publishes with ``prefix`` from here on.

        A long prefix is not worth it: while one comes in, what is there is compared at every read,
        and a client that sends single bytes must not make that expensive.
        """
        if len(prefix) <= PUBLICATION_CACHE_SIZE_MAX:
            self._repeat = (prefix, number, publication)

    def _content_header(
        self, kind: int, channel: _Channel, publish: m.BasicPublish, payload: bytes
    ) -> Event | None:
        expected = f"expected content header for class {CLASS_BASIC}"
        if kind != FRAME_HEADER:
            raise _publish_failed(f"{expected}, got non content header frame instead")
        class_id, weight, body_size = _HEADER.unpack_from(payload)
        if class_id != CLASS_BASIC:
            raise _publish_failed(f"{expected}, got one for class {class_id} instead")
        if weight:
            raise _publish_failed(f"{expected}, got non content header frame instead")
        if body_size > self.message_size_max:
            channel.is_closing = True
            channel.drop_content()
            return self._too_large(body_size)
        key = (channel.publish_payload, payload)
        publication = self._publication(publish, key, body_size)
        if body_size:
            channel.publication = publication
            channel.remaining = body_size
            return None
        return self._published(channel, publication, [b""])

    def _too_large(self, body_size: int) -> SoftError:
        error = precondition_failed(
            f"message size {body_size} is larger than configured max size {self.message_size_max}"
        )
        error.failing = _PUBLISH
        return error

    def _publication(
        self, publish: m.BasicPublish, key: tuple[bytes, bytes], body_size: int
    ) -> Publication:
        """Return the publication of a method and a header; ``key`` are their payloads."""
        publication = self._publications.get(key)
        if publication is not None:
            return publication
        raw = key[1][12:]
        try:
            properties = decode_properties(raw)
        except HardError as error:
            raise _failed(error, publish) from None
        publication = Publication(
            publish.exchange,
            publish.routing_key,
            mandatory=publish.mandatory,
            immediate=publish.immediate,
            raw_properties=raw,
            properties=properties,
            body_size=body_size,
        )
        if len(key[0]) + len(key[1]) <= PUBLICATION_CACHE_SIZE_MAX:
            if len(self._publications) >= PUBLICATION_CACHE_COUNT_MAX:
                self._publications.clear()
            self._publications[key] = publication
        return publication

    def _check_protocol_header(self, data: bytes) -> None:
        if data[:8] not in (PROTOCOL_HEADER, PROTOCOL_HEADER_0_9):
            self.state = State.CLOSED
            raise BadProtocolHeader(data[:8])


def _failed(error: HardError, method: Method) -> HardError:
    error.failing = (method.class_id, method.method_id)
    return error


def _publish_failed(explanation: str) -> HardError:
    error = unexpected_frame(explanation)
    error.failing = _PUBLISH
    return error
