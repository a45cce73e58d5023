"""A hash that is the same in every process and after every restart."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from amqpbroker.routing.binding import freeze_value

_MASK: Final = (1 << 32) - 1


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


def murmur3(data: bytes, seed: int) -> int:
    """Return the 32 bits of MurmurHash3 (x86, 32 bits), which other programs compute, too."""
    value = seed
    rest = len(data) % 4
    for start in range(0, len(data) - rest, 4):
        value ^= _mixed(int.from_bytes(data[start : start + 4], "little"))
        value = (_rotated(value, 13) * 5 + 0xE6546B64) & _MASK
    if rest:
        value ^= _mixed(int.from_bytes(data[-rest:], "little"))
    value ^= len(data)
    value = ((value ^ value >> 16) * 0x85EBCA6B) & _MASK
    value = ((value ^ value >> 13) * 0xC2B2AE35) & _MASK
    return value ^ value >> 16


def _mixed(word: int) -> int:
    return (_rotated((word * 0xCC9E2D51) & _MASK, 15) * 0x1B873593) & _MASK


def _rotated(value: int, bits: int) -> int:
    return (value << bits | value >> 32 - bits) & _MASK
