"""Deliveries with a deadline over HTTP: list, extend (FEATURES N4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pamqp import commands

if TYPE_CHECKING:
    from tests.management.conftest import Connected
    from tests.management.http_api import HttpApi

pytestmark = pytest.mark.deviates("RabbitMQ has no such paths")

HOUR_MS = 3_600_000


@pytest.fixture
def held(api: HttpApi, connected: Connected, name: str) -> str:
    """A queue with two deliveries to consumer c."""
    client = connected.client
    client.declare(name, {"x-ack-deadline": ("I", HOUR_MS)})
    client.consume(name, tag="c")
    client.publish(name, b"1", b"2")
    client.delivers(2)
    return name


def test_deliveries_are_listed(api: HttpApi, connected: Connected, held: str) -> None:
    client = connected.client
    client.publish(held, b"3")
    client.send_command(commands.Basic.Cancel("c"))
    client.deliver()
    client.read(commands.Basic.CancelOk)
    client.publish(held, b"4")
    assert client.get(held, no_ack=False) is not None
    rows = api.get(f"/queues/{{v}}/{held}/deliveries")
    assert [(row["consumer_tag"], row["delivery_tag"]) for row in rows] == [
        ("c", 1),
        ("c", 2),
        ("c", 3),
        ("", 4),
    ]
    assert {row["channel"] for row in rows} == {f"{connected.connection} (1)"}
    assert all(HOUR_MS - 60_000 < row["remaining_ms"] <= HOUR_MS for row in rows)


def test_one_is_extended(api: HttpApi, held: str) -> None:
    path = f"/queues/{{v}}/{held}/deliveries"
    answer = api("PUT", f"{path}/c/2", {"extend_ms": 60_000})
    assert answer.status == 200
    assert 59_000 < answer.body["remaining_ms"] <= 60_000
    assert [row["delivery_tag"] for row in api.get(path)] == [2, 1]
    assert api("PUT", f"{path}/c/2", {}).body["remaining_ms"] > HOUR_MS - 60_000


def test_none_that_is_settled(api: HttpApi, connected: Connected, held: str) -> None:
    connected.client.ack(1)
    connected.client.counts(held)
    path = f"/queues/{{v}}/{held}/deliveries"
    assert api("PUT", f"{path}/c/1", {}).status == 404
    assert api("PUT", f"{path}/d/2", {}).status == 404
    assert api("PUT", f"{path}/c/2", {"extend_ms": -1}).status == 400
    assert api("PUT", "/queues/{v}/no-such/deliveries/c/2", {}).status == 404


def test_tags_of_several_channels(api: HttpApi, connected: Connected, held: str) -> None:
    client = connected.client
    client.open_channel(2)
    client.consume(held, tag="c", channel=2)
    client.publish(held, b"3", b"4")
    assert len(client.delivers(1) + client.delivers(1, channel=2)) == 2
    path = f"/queues/{{v}}/{held}/deliveries"
    answer = api("PUT", f"{path}/c/1", {})
    assert answer.status == 400
    channel = f"{connected.connection} (2)"
    answer = api("PUT", f"{path}/c/1", {"channel": channel})
    assert (answer.status, answer.body["channel"]) == (200, channel)


def test_who_may_not_read_may_not_extend(manager: HttpApi, held: str) -> None:
    assert manager("PUT", f"/queues/{{v}}/{held}/deliveries/c/1", {}).status == 401
