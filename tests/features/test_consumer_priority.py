"""Consumer priorities (FEATURES A6.14, A6.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pamqp import commands

if TYPE_CHECKING:
    from tests.amqp_bytes import TypedTable
    from tests.raw_client import RawClient


def priority(value: int, kind: str = "I") -> TypedTable:
    return {"x-priority": (kind, value)}


def qos(client: RawClient, count: int) -> None:
    client.call(commands.Basic.Qos(prefetch_count=count), commands.Basic.QosOk)


def tags(client: RawClient, count: int) -> list[str]:
    return [str(client.deliver().command["consumer_tag"]) for _ in range(count)]


def test_the_highest_priority_is_served_first(client: RawClient, queue: str) -> None:
    client.consume(queue, priority(-5), tag="low", no_ack=True)
    client.consume(queue, priority(5), tag="high", no_ack=True)
    client.consume(queue, tag="default", no_ack=True)
    client.publish(queue, *[b"body"] * 3)
    assert tags(client, 3) == ["high"] * 3


def test_a_full_consumer_gives_way_to_the_next(client: RawClient, queue: str) -> None:
    qos(client, 2)
    client.consume(queue, priority(1), tag="high")
    client.consume(queue, tag="default")
    client.consume(queue, priority(-1), tag="low")
    client.publish(queue, *[b"body"] * 5)
    assert tags(client, 5) == ["high", "high", "default", "default", "low"]


def test_room_at_a_higher_consumer_counts_at_once(client: RawClient, queue: str) -> None:
    qos(client, 1)
    client.consume(queue, priority(1), tag="high")
    client.consume(queue, tag="default")
    client.publish(queue, b"body", b"body")
    assert tags(client, 2) == ["high", "default"]
    client.ack(1)
    client.counts(queue)
    client.publish(queue, b"body")
    assert tags(client, 1) == ["high"]


def test_equal_priorities_take_turns(client: RawClient, queue: str) -> None:
    for tag in ("a", "b"):
        client.consume(queue, priority(3), tag=tag, no_ack=True)
    client.consume(queue, tag="default", no_ack=True)
    client.publish(queue, *[b"body"] * 6)
    seen = tags(client, 6)
    assert seen == seen[:2] * 3
    assert sorted(seen[:2]) == ["a", "b"]


def test_a_later_consumer_with_a_higher_priority_takes_over(client: RawClient, queue: str) -> None:
    client.consume(queue, tag="default", no_ack=True)
    client.publish(queue, b"body")
    assert tags(client, 1) == ["default"]
    client.consume(queue, priority(9), tag="high", no_ack=True)
    client.publish(queue, b"body")
    assert tags(client, 1) == ["high"]
    client.call(commands.Basic.Cancel("high"), commands.Basic.CancelOk)
    client.publish(queue, b"body")
    assert tags(client, 1) == ["default"]


@pytest.mark.parametrize("kind", ["b", "s", "I", "l"])
def test_any_integer_type_is_accepted(client: RawClient, queue: str, kind: str) -> None:
    client.consume(queue, tag="default", no_ack=True)
    client.consume(queue, priority(7, kind), tag="high", no_ack=True)
    client.publish(queue, b"body")
    assert tags(client, 1) == ["high"]
