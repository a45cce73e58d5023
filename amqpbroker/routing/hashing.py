"""A hash that is the same in every process and after every restart."""

from __future__ import annotations

from hashlib import blake2b

from amqpbroker.routing.binding import freeze_value


def hash64(data: bytes) -> int:
    """Return 64 well-mixed bits of ``data``."""
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big")


def value_bytes(kind: str, value: object) -> bytes:
    """Return the bytes to hash for a field value; the width of an integer does not count."""
    if isinstance(value, bytes):
        return value
    return repr(freeze_value(kind, value)).encode()


def key_bytes(key: str) -> bytes:
    """Return the bytes of a name or key."""
    return key.encode("utf-8", "surrogateescape")
