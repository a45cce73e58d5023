"""What a client publishes and gets, as frames."""

from __future__ import annotations

import struct
from functools import cache
from typing import TYPE_CHECKING, Final

from amqpbroker.wire import methods as m
from amqpbroker.wire.codec import Method, decode_method, encode_method
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.table import Field

if TYPE_CHECKING:
    from interop.simulation.client import Target

FRAME: Final = struct.Struct(">BHI")
HEADER: Final = struct.Struct(">HHQ")
METHOD_FRAME, HEADER_FRAME, BODY_FRAME = 1, 2, 3
DELIVER: Final = b"\0\x3c\0\x3c"
DELIVERY: Final = struct.Struct(">QB")


@cache
def _publish_frame(number: int, exchange: str, key: str) -> bytes:
    return encode_method(number, m.BasicPublish(0, exchange, key, False, False))


def content_frames(number: int, target: Target, properties: bytes, body: bytes) -> bytes:
    """Return a publish: method, header and body."""
    header = HEADER.pack(60, 0, len(body)) + properties
    return b"%b%b%b\xce%b%b\xce" % (
        _publish_frame(number, target.exchange, target.key),
        FRAME.pack(HEADER_FRAME, number, len(header)),
        header,
        FRAME.pack(BODY_FRAME, number, len(body)),
        body,
    )


def properties(
    *, is_persistent: bool, priority: int = 0, expiration_ms: int | None = None, key: str = ""
) -> bytes:
    """Return the encoded properties of a message."""
    values: dict[str, object] = {"delivery_mode": 2 if is_persistent else 1}
    if priority:
        values["priority"] = priority
    if key:
        values["headers"] = {"x-partition-key": Field("S", key.encode())}
    if expiration_ms is not None:
        values["expiration"] = str(expiration_ms)
    return encode_properties(values)


class Content:
    """A method whose content is on its way."""

    __slots__ = ("body", "method", "size")

    def __init__(self, method: Method) -> None:
        self.method = method
        self.size = 0
        self.body = b""


def received_method(payload: bytes) -> Method:
    """Decode a method; of a basic.deliver only what the model wants to know, quickly."""
    if not payload.startswith(DELIVER):
        return decode_method(payload)
    stop = 5 + payload[4]
    tag, redelivered = DELIVERY.unpack_from(payload, stop)
    return m.BasicDeliver(payload[5:stop].decode(), tag, bool(redelivered), "", "")
