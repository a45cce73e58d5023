"""The random exchange: one binding, drawn by lot."""

from __future__ import annotations

import random
from collections import Counter

from tests.routing.samples import PlainMessage, exchange_of, queues_of, to_queue


def test_no_binding_no_destination() -> None:
    assert queues_of(exchange_of("x-random"), PlainMessage("k")) == []


def test_takes_the_binding_that_the_injected_source_picks() -> None:
    picks = iter([2, 0, 1])
    exchange = exchange_of(
        "x-random", *map(to_queue, "abc"), pick=lambda count: next(picks) % count
    )
    assert [queues_of(exchange, PlainMessage("k")) for _ in range(3)] == [["c"], ["a"], ["b"]]


def test_extra_keys_do_not_draw_again() -> None:
    exchange = exchange_of("x-random", *map(to_queue, "abc"))
    message = PlainMessage("k", extra_keys=tuple("defgh"))
    assert all(len(queues_of(exchange, message)) == 1 for _ in range(50))


def test_a_queue_bound_twice_is_drawn_twice_as_often() -> None:
    bindings = [to_queue("a", "1"), to_queue("a", "2"), to_queue("b", "1")]
    exchange = exchange_of("x-random", *bindings, pick=random.Random(5).randrange)
    counts = Counter(queues_of(exchange, PlainMessage())[0] for _ in range(3000))
    assert 1900 < counts["a"] < 2100


def test_an_unbound_queue_is_not_drawn() -> None:
    exchange = exchange_of("x-random", *map(to_queue, "ab"))
    queues_of(exchange, PlainMessage())
    exchange.unbind(to_queue("a"))
    assert {queues_of(exchange, PlainMessage())[0] for _ in range(20)} == {"b"}
