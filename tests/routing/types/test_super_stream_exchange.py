"""The exchange of a super stream (FEATURES A11.9)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.routing.hashing import murmur3
from amqpbroker.routing.registry import create_exchange
from amqpbroker.routing.types.direct_exchange import DirectExchange
from amqpbroker.routing.types.super_stream_exchange import SEED, SuperStreamExchange
from tests.routing.samples import PlainMessage, queues_of, to_queue

KEYS = st.text(max_size=6)


def super_stream(*orders: int) -> SuperStreamExchange:
    arguments = {"x-super-stream": ("t", True)}
    exchange = create_exchange("direct", "x", arguments=arguments)
    assert isinstance(exchange, SuperStreamExchange)
    for order in orders:
        key, argument = str(order), ("I", order)
        exchange.bind(to_queue(f"s-{order}", key, **{"x-stream-partition-order": argument}))
    return exchange


@given(st.permutations(range(5)), st.sets(st.integers(0, 4)), KEYS)
def test_a_key_goes_to_the_partition_it_names_or_hashes_to(
    orders: list[int], unbound: set[int], key: str
) -> None:
    exchange = super_stream(*orders)
    for order in unbound:
        argument = ("I", order)
        exchange.unbind(
            to_queue(f"s-{order}", str(order), **{"x-stream-partition-order": argument})
        )
    left = [order for order in range(5) if order not in unbound]
    if key in map(str, left):
        expected = [f"s-{key}"]
    elif left:
        hashed = murmur3(key.encode("utf-8", "surrogateescape"), SEED)
        expected = [f"s-{left[hashed % len(left)]}"]
    else:
        expected = []
    assert queues_of(exchange, PlainMessage(key)) == expected


def test_without_an_order_the_keys_are_the_order() -> None:
    exchange = super_stream()
    for index in (10, 2, 0, 1):
        exchange.bind(to_queue(f"s-{index}", str(index)))
    hashed = murmur3(b"k", SEED)
    assert queues_of(exchange, PlainMessage("k")) == [f"s-{(0, 1, 2, 10)[hashed % 4]}"]


def test_a_direct_exchange_without_the_argument_is_none() -> None:
    for arguments in ({}, {"x-super-stream": ("t", False)}):
        assert type(create_exchange("direct", "x", arguments=arguments)) is DirectExchange
