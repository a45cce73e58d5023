"""AMQP 0-9-1 bytes as tests write and read them.

Methods come from pamqp, an implementation independent of the broker's, where pamqp is lossless;
typed tables, properties and odd names are encoded here by hand.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from pamqp import base, commands, frame

PROTOCOL_HEADER: Final = b"AMQP\x00\x00\x09\x01"
FRAME_END: Final = 0xCE
METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8

TypedTable = Mapping[str, tuple[str, Any]]
"""Names to (field type letter, value) pairs: ``{"x-message-ttl": ("I", 60_000)}``."""


def shortstr(value: str | bytes) -> bytes:
    """Encode a short string: one length byte and up to 255 bytes."""
    data = value.encode() if isinstance(value, str) else value
    return bytes([len(data)]) + data


def longstr(value: str | bytes) -> bytes:
    """Encode a long string: four length bytes and the bytes."""
    data = value.encode() if isinstance(value, str) else value
    return struct.pack(">I", len(data)) + data


def table(fields: TypedTable) -> bytes:
    """Encode a field table with exactly the field types given."""
    return longstr(b"".join(shortstr(name) + field(*pair) for name, pair in fields.items()))


_FIXED = {
    "t": ">?", "b": ">b", "B": ">B", "s": ">h", "u": ">H", "I": ">i", "i": ">I", "l": ">q",
    "L": ">Q", "f": ">f", "d": ">d", "T": ">Q",
}  # fmt: skip


def field(kind: str, value: Any) -> bytes:
    """Encode one typed field: its type letter and its value."""
    if kind in _FIXED:
        data = struct.pack(_FIXED[kind], value)
    elif kind in "Sx":
        data = longstr(value)
    elif kind == "F":
        data = table(value)
    elif kind == "A":
        data = longstr(b"".join(field(*pair) for pair in value))
    elif kind == "D":
        data = struct.pack(">Bi", *value)
    else:
        assert kind == "V", f"no field type {kind!r}"
        data = b""
    return kind.encode() + data


_PROPERTIES = (
    ("content_type", "s"), ("content_encoding", "s"), ("headers", "F"), ("delivery_mode", "B"),
    ("priority", "B"), ("correlation_id", "s"), ("reply_to", "s"), ("expiration", "s"),
    ("message_id", "s"), ("timestamp", "T"), ("type", "s"), ("user_id", "s"), ("app_id", "s"),
    ("cluster_id", "s"),
)  # fmt: skip


def properties(**values: Any) -> bytes:
    """Encode the property flags and list of a content header; headers are a TypedTable."""
    unknown = values.keys() - {name for name, _ in _PROPERTIES}
    assert not unknown, f"no such properties: {unknown}"
    flags, data = 0, b""
    for bit, (name, kind) in enumerate(_PROPERTIES):
        if name in values:
            flags |= 1 << (15 - bit)
            data += _property(kind, values[name])
    return struct.pack(">H", flags) + data


def _property(kind: str, value: Any) -> bytes:
    if kind == "F":
        return table(value)
    if kind == "s":
        return shortstr(value)
    return struct.pack(">B" if kind == "B" else ">Q", value)


def raw_frame(kind: int, channel: int, payload: bytes, end: int = FRAME_END) -> bytes:
    """Build one frame, right or (with another ``end`` or ``kind``) wrong."""
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + bytes([end])


def method_frame(channel: int, class_id: int, method_id: int, arguments: bytes = b"") -> bytes:
    """Build a method frame from its ids and encoded arguments."""
    return raw_frame(METHOD, channel, struct.pack(">HH", class_id, method_id) + arguments)


def command_frame(command: base.Frame, channel: int, arguments: TypedTable | None = None) -> bytes:
    """Build the frame of a pamqp command; typed ``arguments`` take the place of its last table."""
    data = frame.marshal(command, channel)
    if arguments is None:
        return data
    payload = data[7:-1]
    assert payload.endswith(bytes(4)), "the command must end with an empty table"
    return raw_frame(METHOD, channel, payload[:-4] + table(arguments))


def content_frames(channel: int, body: bytes, header: bytes, chunk: int = 131064) -> bytes:
    """Build the header frame and the body frames of a content."""
    start = struct.pack(">HHQ", 60, 0, len(body)) + header
    chunks = [body[i : i + chunk] for i in range(0, len(body), chunk)]
    frames = [raw_frame(BODY, channel, part) for part in chunks]
    return raw_frame(HEADER, channel, start) + b"".join(frames)


class Frame(NamedTuple):
    """A frame as it came from the broker."""

    kind: int
    channel: int
    payload: bytes

    @property
    def ids(self) -> tuple[int, int]:
        """The class and method ids of a method frame."""
        class_id, method_id = struct.unpack_from(">HH", self.payload)
        return class_id, method_id

    @property
    def command(self) -> base.Frame:
        """The method of this frame, as pamqp decodes it."""
        assert self.kind == METHOD, f"not a method frame: {self}"
        data = raw_frame(METHOD, self.channel, self.payload)
        command = frame.unmarshal(data)[2]
        assert isinstance(command, base.Frame)
        return command


class Message(NamedTuple):
    """A basic.deliver, basic.get-ok or basic.return with its content."""

    command: base.Frame
    header: bytes
    """The property flags and list, as the broker sent them."""
    body: bytes
    body_frame_sizes: tuple[int, ...]

    @property
    def properties(self) -> commands.Basic.Properties:
        """The properties, as pamqp decodes them."""
        decoded = commands.Basic.Properties()
        (flags,) = struct.unpack_from(">H", self.header)
        decoded.unmarshal(flags, self.header[2:])
        return decoded

    @property
    def headers(self) -> dict[str, Any]:
        """The headers table, empty if there is none."""
        return dict(self.properties.headers or {})

    @property
    def tag(self) -> int:
        """The delivery tag."""
        tag = self.command["delivery_tag"]
        assert isinstance(tag, int)
        return tag

    @property
    def redelivered(self) -> bool:
        """The redelivered flag."""
        return self.command["redelivered"] is True


def describe(command: base.Frame) -> str:
    """Return a command's name and arguments, for the message of a failed assertion."""
    return f"{command.name} {dict(command)}"
