"""Consumers over HTTP (FEATURES A18.15)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.amqp_bytes import TypedTable
    from tests.management.http_api import HttpApi
    from tests.raw_client import RawClient

pytestmark = pytest.mark.deviates("RabbitMQ shows consumers up to five seconds later")


def test_a_consumer_is_shown(api: HttpApi, client: RawClient, queue: str) -> None:
    arguments: TypedTable = {"x-priority": ("I", 2)}
    client.consume(queue, arguments, tag="t", exclusive=True)
    shown = next(item for item in api.get("/consumers/{v}") if item["queue"]["name"] == queue)
    assert shown in api.get("/consumers")
    details = shown.pop("channel_details")
    assert shown == {
        "arguments": {"x-priority": 2},
        "ack_required": True,
        "active": True,
        "activity_status": "up",
        "consumer_tag": "t",
        "exclusive": True,
        "prefetch_count": 0,
        "queue": {"name": queue, "vhost": api.vhost},
    }
    assert details["name"] == f"{details['connection_name']} (1)"
    assert (details["number"], details["user"]) == (1, "guest")


def test_a_consumer_that_waits_for_its_turn(api: HttpApi, client: RawClient, name: str) -> None:
    body = {"arguments": {"x-single-active-consumer": True}}
    assert api("PUT", f"/queues/{{v}}/{name}", body).status == 201
    client.consume(name, tag="one")
    client.consume(name, tag="two")
    details = api.get(f"/queues/{{v}}/{name}")
    shown = {item["consumer_tag"]: item for item in details["consumer_details"]}
    assert (shown["one"]["active"], shown["one"]["activity_status"]) == (True, "up")
    assert (shown["two"]["active"], shown["two"]["activity_status"]) == (False, "waiting")
    assert details["single_active_consumer_tag"] == "one"
