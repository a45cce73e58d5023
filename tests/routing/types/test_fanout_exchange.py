"""The fanout exchange: everybody, once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.routing.samples import PlainMessage, exchange_of, queues_of, to_queue

BINDINGS = st.lists(st.tuples(st.sampled_from("pqrs"), st.sampled_from(["", "k", "*"])))


@given(BINDINGS, BINDINGS, st.text(max_size=3))
def test_leads_to_every_bound_queue_once(
    bound: list[tuple[str, str]], unbound: list[tuple[str, str]], routing_key: str
) -> None:
    exchange = exchange_of("fanout", *(to_queue(q, key) for q, key in bound))
    queues_of(exchange, PlainMessage(routing_key))
    for q, key in unbound:
        exchange.unbind(to_queue(q, key))
    expected = dict.fromkeys(q for q, key in dict.fromkeys(bound) if (q, key) not in unbound)
    assert queues_of(exchange, PlainMessage(routing_key, extra_keys=("k",))) == list(expected)
