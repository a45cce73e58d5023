"""The hash, with the values of Kafka's own test (UtilsTest.testMurmur2)."""

from __future__ import annotations

from collections import Counter

import pytest

from amqpbroker.broker.murmur2 import murmur2, partition_of


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_it_is_kafkas(key: bytes, expected: int) -> None:
    assert murmur2(key) == expected % (1 << 32)
    assert partition_of(key, 7) == (expected & 0x7FFFFFFF) % 7


def test_an_empty_key_has_a_partition() -> None:
    assert 0 <= partition_of(b"", 5) < 5


def test_keys_are_spread() -> None:
    counts = Counter(partition_of(b"key-%d" % number, 8) for number in range(8000))
    assert all(800 < count < 1200 for count in counts.values())
