"""What a plan says of itself."""

from __future__ import annotations

from amqpbroker.definitions.plan import Plan


def test_counts() -> None:
    plan = Plan(vhosts=["a", "b"], limits={"a": {}})
    assert plan.count == 3
    text = "2 vhosts, 0 users, 0 permissions, 0 policies, 0 exchanges, 0 queues, 0 bindings"
    assert str(plan) == text
