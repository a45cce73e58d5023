"""The snapshot is made once per change, not once per message."""

from __future__ import annotations

from amqpbroker.routing.types.fanout_exchange import FanoutExchange
from tests.routing.samples import to_queue


def test_the_snapshot_is_kept_until_a_binding_changes() -> None:
    exchange = FanoutExchange("x")
    exchange.bind(to_queue("a"))
    first = exchange.snapshot()
    assert exchange.snapshot() is first
    exchange.bind(to_queue("b"))
    assert [name for _, name in exchange.snapshot()] == ["a", "b"]
    exchange.unbind(to_queue("a"))
    assert [name for _, name in exchange.snapshot()] == ["b"]


def test_a_binding_that_exists_changes_nothing() -> None:
    exchange = FanoutExchange("x")
    exchange.bind(to_queue("a"))
    first = exchange.snapshot()
    exchange.bind(to_queue("a"))
    exchange.unbind(to_queue("b"))
    assert exchange.snapshot() is first
