"""The direct exchange: equal keys, nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.routing.samples import PlainMessage, exchange_of, queues_of, to_queue

KEYS = st.sampled_from(["", "a", "A", "a.b", "*", "#", "a\udcff", "é"])
BINDINGS = st.lists(st.tuples(st.sampled_from("pqrs"), KEYS, st.integers(0, 1)), max_size=20)


@given(BINDINGS, BINDINGS, st.lists(KEYS, min_size=1, max_size=3))
def test_leads_to_the_queues_bound_with_one_of_the_keys(
    bound: list[tuple[str, str, int]], unbound: list[tuple[str, str, int]], keys: list[str]
) -> None:
    exchange = exchange_of("direct", *(to_queue(q, key, n=("I", n)) for q, key, n in bound))
    for q, key, n in unbound:
        exchange.unbind(to_queue(q, key, n=("I", n)))
    expected = {q for q, key, n in set(bound) - set(unbound) if key in keys}
    found = queues_of(exchange, PlainMessage(keys[0], extra_keys=keys[1:]))
    assert len(found) == len(set(found))
    assert set(found) == expected


def test_queues_come_in_the_order_of_their_bindings() -> None:
    exchange = exchange_of("direct", *(to_queue(name, "k") for name in "zaz y"))
    assert queues_of(exchange, PlainMessage("k")) == ["z", "a", " ", "y"]
