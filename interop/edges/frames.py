"""AMQP 0-9-1 frames for a client that wants to stay cheap: pamqp encodes, a loop splits.

Nothing here does I/O. Only `pamqp` is used to encode, so no client library stands between
a scenario and the broker.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from pamqp import base, commands, frame, header

PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
FRAME_END = b"\xce"
FRAME_SIZE_MAX = 131_072  # what amqpload and most clients propose, in bytes, envelope included

_ENVELOPE = struct.Struct(">BHI")
_INDEX = struct.Struct(">I")


class Frame(NamedTuple):
    """One frame as it came: kind, channel number, payload without envelope."""

    kind: int
    channel: int
    payload: bytes

    @property
    def method_index(self) -> int:
        """The method's class and method id in one number, as pamqp counts them."""
        return int(_INDEX.unpack_from(self.payload)[0])

    def method(self) -> base.Frame:
        """Decode a method frame with pamqp."""
        method = frame.unmarshal(envelope(self.kind, self.channel, self.payload))[2]
        assert isinstance(method, base.Frame)
        return method


def split(buffer: bytearray) -> list[Frame]:
    """Take every whole frame off the front of `buffer`.

    Raises:
        ValueError: a frame does not end with 0xCE.
    """
    frames: list[Frame] = []
    start = 0
    while len(buffer) - start >= 8:
        kind, channel, size = _ENVELOPE.unpack_from(buffer, start)
        end = start + 7 + size
        if len(buffer) <= end:
            break
        if buffer[end] != FRAME_END[0]:
            raise ValueError(f"frame of kind {kind} ends with {buffer[end]:#x}")
        frames.append(Frame(kind, channel, bytes(buffer[start + 7 : end])))
        start = end + 1
    del buffer[:start]
    return frames


def envelope(kind: int, channel: int, payload: bytes) -> bytes:
    """Put a payload of any kind into a frame."""
    return _ENVELOPE.pack(kind, channel, len(payload)) + payload + FRAME_END


def method(command: base.Frame, channel: int = 1) -> bytes:
    """Encode a method frame."""
    return frame.marshal(command, channel)


def content_header(size: int, channel: int = 1) -> bytes:
    """Encode a header frame that announces a body of `size` bytes and no properties."""
    return frame.marshal(
        header.ContentHeader(body_size=size, properties=commands.Basic.Properties()), channel
    )


def publish(exchange: str, routing_key: str, body: bytes, channel: int = 1) -> bytes:
    """Encode basic.publish with its header and as many body frames as it needs."""
    step = FRAME_SIZE_MAX - 8
    parts = [
        method(commands.Basic.Publish(exchange=exchange, routing_key=routing_key), channel),
        content_header(len(body), channel),
    ]
    parts += [envelope(BODY, channel, body[at : at + step]) for at in range(0, len(body), step)]
    return b"".join(parts)


def start_ok(user: str = "guest", password: str = "guest") -> bytes:
    """Encode connection.start-ok for PLAIN with the capabilities that common clients send."""
    return method(
        commands.Connection.StartOk(
            client_properties={
                "product": "amqpbroker-interop",
                "capabilities": {"connection.blocked": True, "consumer_cancel_notify": True},
            },
            mechanism="PLAIN",
            response=f"\x00{user}\x00{password}",
        ),
        0,
    )


def tune_ok(heartbeat_s: int = 0) -> bytes:
    """Encode connection.tune-ok; a heartbeat of 0 switches heartbeats off."""
    return method(
        commands.Connection.TuneOk(
            channel_max=2047, frame_max=FRAME_SIZE_MAX, heartbeat=heartbeat_s
        ),
        0,
    )


START_OK = start_ok()
OPEN = method(commands.Connection.Open(), 0)
CHANNEL_OPEN = method(commands.Channel.Open())
