"""The connection's state machine and codec: any bytes, in any pieces, in every state.

The first two bytes choose where the connection begins and where the stream is cut in pieces. All
cuts must give the same events; nothing but the two errors may be raised; and what is kept until
more comes is less than a frame.
"""

from __future__ import annotations

import struct
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from amqpbroker.errors import HardError, SoftError
from amqpbroker.wire import methods as m
from amqpbroker.wire.codec import Method, encode_method
from amqpbroker.wire.connection import BadProtocolHeader, Connection, State
from amqpbroker.wire.constants import FRAME_SIZE_FUDGE, PROTOCOL_HEADER
from amqpbroker.wire.events import Acks, Event, ProtocolHeader, Publish
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.table import Field

if TYPE_CHECKING:
    from collections.abc import Iterator

FRAME_SIZE_MAX: Final = 4096
MESSAGE_SIZE_MAX: Final = 10_000
CHANNEL_COUNT_MAX: Final = 4
KEPT_SIZE_MAX: Final = 2 * FRAME_SIZE_MAX + FRAME_SIZE_FUDGE + MESSAGE_SIZE_MAX
"""Bytes: a repeated publish is waited for whole, anything else frame by frame."""
START: Final = m.ConnectionStart(0, 9, {}, b"PLAIN", b"en_US")
TUNE: Final = m.ConnectionTune(CHANNEL_COUNT_MAX, FRAME_SIZE_MAX, 0)
TUNE_OK: Final = m.ConnectionTuneOk(CHANNEL_COUNT_MAX, FRAME_SIZE_MAX, 0)
START_OK: Final = m.ConnectionStartOk({}, "PLAIN", b"\0guest\0guest", "en_US")

HANDSHAKE: Final = b"".join(
    (
        PROTOCOL_HEADER,
        encode_method(0, START_OK),
        encode_method(0, TUNE_OK),
        encode_method(0, m.ConnectionOpen("/")),
    )
)
CHANNELS: Final = b"".join(encode_method(number, m.ChannelOpen()) for number in (1, 2))


def content(number: int, properties: bytes, body: bytes) -> bytes:
    """Return the frames that follow a publish."""
    header = struct.pack(">HHQ", 60, 0, len(body)) + properties
    frames = ((2, header), (3, body)) if body else ((2, header),)
    return b"".join(
        struct.pack(">BHI", kind, number, len(payload)) + payload + b"\xce"
        for kind, payload in frames
    )


PUBLISH: Final = encode_method(1, m.BasicPublish(0, "", "q", False, False))
HEADERS: Final = encode_properties({"headers": {"a": Field("S", b"b"), "c": Field("I", 1)}})
SEEDS: Final = [
    b"\x00\x00" + HANDSHAKE + CHANNELS,
    b"\x01\x07" + PUBLISH + content(1, b"\x00\x00", b"body") + PUBLISH,
    b"\x01\x00" + (PUBLISH + content(1, b"\x00\x00", b"body")) * 3,
    b"\x01\x20" + PUBLISH + content(1, HEADERS, b""),
    b"\x01\x05" + encode_method(1, m.BasicAck(1, False)) * 3,
    b"\x01\x09" + encode_method(2, m.QueueDeclare(0, "q", False, True, False, False, False, {})),
    b"\x01\x11"
    + encode_method(2, m.ChannelClose(200, ""))
    + encode_method(0, m.ConnectionClose(200, "")),
]


def check(data: bytes) -> None:
    """Feed a stream whole and in pieces, and compare."""
    if len(data) < 2:
        return
    is_running, cut, stream = data[0] & 1, data[1], data[2:]
    expected = _seen(_connection(is_running=bool(is_running)), [stream])
    size = cut % 32 + 1
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert _seen(_connection(is_running=bool(is_running)), pieces) == expected


def _connection(*, is_running: bool) -> Connection:
    connection = Connection(message_size_max=MESSAGE_SIZE_MAX)
    if is_running:
        for number, event in connection.receive_data(HANDSHAKE + CHANNELS):
            _answer(connection, number, event)
        assert connection.state is State.RUNNING
    return connection


def _answer(connection: Connection, number: int, event: Event) -> None:
    """Do what a broker would that lets everybody in."""
    if isinstance(event, ProtocolHeader):
        connection.send(0, START)
    elif isinstance(event, m.ConnectionStartOk | m.ConnectionSecureOk):
        connection.send(0, TUNE)
    elif isinstance(event, m.ConnectionTuneOk):
        connection.channel_count_max = CHANNEL_COUNT_MAX
        connection.frame_size_max = FRAME_SIZE_MAX
    elif isinstance(event, m.ConnectionOpen):
        connection.send(0, m.ConnectionOpenOk())
    elif isinstance(event, m.ConnectionClose):
        connection.send(0, m.ConnectionCloseOk())
    elif isinstance(event, m.ChannelClose):
        connection.send(number, m.ChannelCloseOk())
    elif isinstance(event, SoftError):
        connection.send(number, m.ChannelClose(event.reply_code, event.reply_text))


def _seen(connection: Connection, pieces: list[bytes]) -> list[Any]:
    seen: list[Any] = []
    waiting = deque(pieces)
    while waiting:
        piece = waiting.popleft()
        try:
            for number, event in connection.receive_data(piece):
                seen += _flat(number, event)
                _answer(connection, number, event)
        except HardError as error:
            seen.append((error.reply_code, error.reply_text, error.failing))
            if connection.state not in (State.CLOSING, State.CLOSED):
                connection.send(0, m.ConnectionClose(error.reply_code, error.reply_text))
            waiting.appendleft(b"")  # what stands behind the mistake is still to be read
        except BadProtocolHeader:
            seen.append("bad header")
            break
        kept = sum(map(len, connection._partial))
        assert kept <= KEPT_SIZE_MAX + len(piece)
    return seen


def _flat(number: int, event: Event) -> Iterator[Any]:
    """Take runs apart: how many publishes share an event depends on the pieces."""
    if isinstance(event, Publish):
        publication = event.publication
        for body in event.bodies:
            assert len(body) == publication.body_size
            yield number, publication.exchange, publication.raw_properties, body
    elif isinstance(event, Acks):
        yield from ((number, "ack", tag) for tag in event.delivery_tags)
    elif isinstance(event, SoftError):
        yield number, event.reply_code, event.reply_text
    else:
        yield number, event if isinstance(event, Method) else type(event).__name__
