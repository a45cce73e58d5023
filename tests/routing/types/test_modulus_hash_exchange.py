"""The modulus hash exchange: one destination per key, the same whatever the order."""

from __future__ import annotations

import random
from collections import Counter

from amqpbroker.routing.hashing import hash64
from tests.routing.samples import PlainMessage, exchange_of, queues_of, to_queue

QUEUES = [f"shard-{number}" for number in range(4)]
KEYS = [f"key.{number}" for number in range(2000)]


def test_no_binding_no_destination() -> None:
    assert queues_of(exchange_of("x-modulus-hash"), PlainMessage("k")) == []


def test_leads_to_the_hash_modulo_the_sorted_queues() -> None:
    shuffled = random.Random(3).sample(QUEUES, k=len(QUEUES))
    exchange = exchange_of("x-modulus-hash", *(to_queue(name) for name in shuffled))
    for key in KEYS:
        expected = QUEUES[hash64(key.encode()) % len(QUEUES)]
        assert queues_of(exchange, PlainMessage(key)) == [expected]


def test_the_keys_are_shared_out_evenly() -> None:
    exchange = exchange_of("x-modulus-hash", *(to_queue(name) for name in QUEUES))
    counts = Counter(queues_of(exchange, PlainMessage(key))[0] for key in KEYS)
    assert all(400 < counts[name] < 600 for name in QUEUES)


def test_the_extra_keys_are_hashed_with_the_routing_key() -> None:
    exchange = exchange_of("x-modulus-hash", *(to_queue(name) for name in QUEUES))
    found = [queues_of(exchange, PlainMessage("k", extra_keys=(key,))) for key in KEYS[:50]]
    assert {len(queues) for queues in found} == {1}
    assert {queues[0] for queues in found} == set(QUEUES)
