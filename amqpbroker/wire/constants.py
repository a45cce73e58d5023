"""Numbers of AMQP 0-9-1 and the limits that this side of the wire sets."""

from __future__ import annotations

from typing import Final

PROTOCOL_HEADER: Final = b"AMQP\x00\x00\x09\x01"
"""What a client opens with, and the answer to every other opening (FEATURES A1.1)."""
PROTOCOL_HEADER_0_9: Final = b"AMQP\x01\x01\x00\x09"
"""AMQP 0-9: accepted, as RabbitMQ does."""

FRAME_METHOD: Final = 1
FRAME_HEADER: Final = 2
FRAME_BODY: Final = 3
FRAME_HEARTBEAT: Final = 8
FRAME_END: Final = 0xCE
FRAME_OVERHEAD_SIZE: Final = 8
"""Bytes around a payload: type, channel, size, end."""

FRAME_SIZE_MIN: Final = 4096
"""Smallest frame_max a peer may ask for (spec; RabbitMQ before 4.1, FEATURES A1.9)."""
FRAME_SIZE_FUDGE: Final = 8
"""RabbitMQ tolerates frames this many bytes too large: clients get the overhead wrong."""
HANDSHAKE_FRAME_SIZE_MAX: Final = 8192
"""Largest frame before connection.tune-ok (4096 up to RabbitMQ 4.0, 8192 for JWTs since), unless
a setting says otherwise."""

CLASS_BASIC: Final = 60
DELIVERY_MODE_PERSISTENT: Final = 2
