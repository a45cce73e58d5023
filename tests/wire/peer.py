"""Connections in any state, and what they make of bytes as values that can be compared.

One event may hold several publishes or acks; ``see`` takes them apart, so that how many there are
in an event makes no difference.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from amqpbroker.errors import AmqpError, HardError, SoftError
from amqpbroker.wire import methods as m
from amqpbroker.wire.codec import METHODS, Method, encode_method
from amqpbroker.wire.connection import BadProtocolHeader, Connection, State
from amqpbroker.wire.constants import PROTOCOL_HEADER
from amqpbroker.wire.events import Acks, Event, ProtocolHeader, Publish
from tests.amqp_bytes import BODY, HEADER, method_frame, properties, raw_frame, shortstr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from amqpbroker.wire.content import Publication

MESSAGE_SIZE_MAX: Final = 1000
FRAME_SIZE_MAX: Final = 4096
CHANNEL_COUNT_MAX: Final = 4

START: Final = m.ConnectionStart(0, 9, {}, b"PLAIN", b"en_US")
SECURE: Final = m.ConnectionSecure(b"")
TUNE: Final = m.ConnectionTune(CHANNEL_COUNT_MAX, FRAME_SIZE_MAX, 0)
TUNE_OK: Final = m.ConnectionTuneOk(CHANNEL_COUNT_MAX, FRAME_SIZE_MAX, 0)
CLOSE: Final = m.ConnectionClose(541, "")
CHANNEL_CLOSE: Final = m.ChannelClose(406, "")

EMPTY: Final[dict[str, Any]] = {"bit": False, "shortstr": "", "longstr": b"", "table": {}}
SAMPLES: Final = [
    cls(*[EMPTY.get(wire_type, 0) for _, wire_type in cls.wire_types]) for cls in METHODS.values()
]
"""One method of each class."""

Seen: TypeAlias = tuple[Any, ...]
"""(channel number, what, its values)."""


def connection_in(state: State) -> Connection:
    """Return a connection that a client and a server have talked into ``state``."""
    connection = Connection(message_size_max=MESSAGE_SIZE_MAX)
    steps: list[tuple[State, bytes, tuple[Method, ...]]] = [
        (State.STARTING, PROTOCOL_HEADER, (START,)),
        (State.SECURING, encode_method(0, m.ConnectionStartOk({}, "X", b"", "")), (SECURE,)),
        (State.TUNING, encode_method(0, m.ConnectionSecureOk(b"")), (TUNE,)),
        (State.OPENING, encode_method(0, TUNE_OK), ()),
        (State.RUNNING, encode_method(0, m.ConnectionOpen("/")), (m.ConnectionOpenOk(),)),
        (State.CLOSING, b"", (CLOSE,)),
        (State.CLOSED, encode_method(0, m.ConnectionCloseOk()), ()),
    ]
    for reached, data, answers in steps:
        if connection.state is state:
            break
        list(connection.receive_data(data))
        for answer in answers:
            connection.send(0, answer)
        if reached is State.OPENING:
            connection.channel_count_max = CHANNEL_COUNT_MAX
            connection.frame_size_max = FRAME_SIZE_MAX
        assert connection.state is reached
    connection.data_to_send()
    return connection


def running(*numbers: int) -> Connection:
    """Return a running connection with these channels open."""
    connection = connection_in(State.RUNNING)
    for number in numbers:
        assert see(connection, encode_method(number, m.ChannelOpen()))
    return connection


def receive(connection: Connection, data: bytes) -> Iterator[tuple[int, Event]]:
    """Yield events; an opening and a HardError are answered as a server does."""
    repeat = connection.receive_repeat(data)
    if repeat is not None:
        yield repeat
        return
    try:
        for number, event in connection.receive_data(data):
            yield number, event
            if isinstance(event, ProtocolHeader):
                connection.send(0, START)
    except HardError:
        connection.send(0, CLOSE)
        raise


def see(connection: Connection, data: bytes) -> list[Seen]:
    """Return what the connection yields for ``data``; errors propagate."""
    return [seen for number, event in receive(connection, data) for seen in flat(number, event)]


def outcome(connection: Connection, data: bytes) -> list[Seen]:
    """Return what the connection yields for ``data``, an error that ends it included."""
    got: list[Seen] = []
    try:
        for number, event in receive(connection, data):
            got += flat(number, event)
    except HardError as error:
        got.append((0, "hard", *reason(error)))
    except BadProtocolHeader:
        got.append((0, "bad header"))
    return got


def flat(number: int, event: Event) -> list[Seen]:
    """Take an event apart into single publishes and acks."""
    if isinstance(event, Publish):
        values = described(event.publication)
        return [(number, "publish", values, body) for body in event.bodies]
    if isinstance(event, Acks):
        return [(number, "ack", tag) for tag in event.delivery_tags]
    if isinstance(event, SoftError):
        return [(number, "soft", *reason(event))]
    return [(number, type(event).__name__, event if isinstance(event, Method) else None)]


def refusal(decode: Callable[[bytes], object], data: bytes) -> int | None:
    """Return the code that ``decode`` refuses ``data`` with, None if it takes it."""
    try:
        decode(data)
    except HardError as error:
        return error.reply_code
    return None


def described(publication: Publication) -> Seen:
    """Return all that a publish said besides its body."""
    flags = (publication.mandatory, publication.immediate, publication.is_persistent)
    names = (publication.exchange, publication.routing_key)
    return (*names, *flags, publication.raw_properties, publication.body_size)


def reason(error: AmqpError) -> tuple[int, str, tuple[int, int]]:
    """Return what a close says about an error."""
    return error.reply_code, error.reply_text, error.failing


def publish_frame(number: int, key: str = "q", exchange: str = "") -> bytes:
    """Return basic.publish alone, encoded by hand."""
    names = shortstr(exchange) + shortstr(key)
    return method_frame(number, 60, 40, bytes(2) + names + bytes(1))


def header_frame(number: int, body_size: int, header: bytes | None = None, **odd: int) -> bytes:
    """Return a content header; ``odd`` may set another class_id or weight."""
    head = struct.pack(">HHQ", odd.get("class_id", 60), odd.get("weight", 0), body_size)
    return raw_frame(HEADER, number, head + (properties() if header is None else header))


def body_frame(number: int, body: bytes) -> bytes:
    """Return one body frame, also an empty one."""
    return raw_frame(BODY, number, body)


def publish_frames(number: int, body: bytes, key: str = "q", header: bytes | None = None) -> bytes:
    """Return a whole publish, its body in one frame."""
    frames = publish_frame(number, key) + header_frame(number, len(body), header)
    return frames + body_frame(number, body) if body else frames


def ack_frame(number: int, tag: int, bits: int = 0) -> bytes:
    """Return basic.ack; bit 0 is ``multiple``, the others mean nothing."""
    return method_frame(number, 60, 80, struct.pack(">QB", tag, bits))


def buffered_size(connection: Connection) -> int:
    """Return the bytes that a connection keeps until more come."""
    return sum(map(len, connection._partial))
