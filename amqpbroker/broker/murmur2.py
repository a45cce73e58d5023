"""MurmurHash2 as Kafka's producers have it, so that a key has the same partition here and there.

https://github.com/apache/kafka/blob/3.7/clients/src/main/java/org/apache/kafka/common/utils/Utils.java
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

_SEED: Final = 0x9747B28C
_FACTOR: Final = 0x5BD1E995
_MASK: Final = 0xFFFFFFFF
KEY_COUNT_MAX: Final = 4096
"""Keys whose hash is remembered: working one out takes a microsecond for every few bytes."""


@lru_cache(KEY_COUNT_MAX)
def murmur2(data: bytes) -> int:
    """Return the hash, an unsigned number of 32 bits (Kafka's is the same as a signed one)."""
    size = len(data)
    value = _SEED ^ size
    whole = size & ~3
    for start in range(0, whole, 4):
        word = int.from_bytes(data[start : start + 4], "little") * _FACTOR & _MASK
        word = (word ^ word >> 24) * _FACTOR & _MASK
        value = value * _FACTOR & _MASK ^ word
    if size > whole:
        value = (value ^ int.from_bytes(data[whole:], "little")) * _FACTOR & _MASK
    value = (value ^ value >> 13) * _FACTOR & _MASK
    return value ^ value >> 15


def partition_of(key: bytes, count: int) -> int:
    """Return the partition of a key, of ``count`` ones, as Kafka's default partitioner does."""
    return (murmur2(key) & 0x7FFFFFFF) % count
