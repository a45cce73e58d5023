"""The broker as a whole over HTTP (FEATURES A18.1, A18.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.helpers import RunningBroker
    from tests.management.http_api import HttpApi


def test_overview_says_what_clients_probe(api: HttpApi) -> None:
    shown = api.get("/overview")
    assert shown["product_name"] == "RabbitMQ"
    assert shown["rabbitmq_version"] == shown["management_version"] == shown["product_version"]
    types = {item["name"] for item in shown["exchange_types"]}
    assert {"direct", "fanout", "topic", "headers"} <= types
    assert shown["object_totals"].keys() == {
        "channels",
        "connections",
        "consumers",
        "exchanges",
        "queues",
    }
    assert {"messages", "messages_ready"} <= shown["queue_totals"].keys()


def test_overview_names_the_listeners(api: HttpApi, broker: RunningBroker) -> None:
    shown = {item["protocol"]: item["port"] for item in api.get("/overview")["listeners"]}
    assert shown["amqp"] == broker.port
    assert shown["http"] == broker.management_port


@pytest.mark.deviates("RabbitMQ's totals are up to five seconds old")
def test_overview_counts_messages(api: HttpApi, queue: str) -> None:
    before = api.get("/overview")["queue_totals"]["messages"]
    api.publish(queue, "one", "two")
    assert api.get("/overview")["queue_totals"]["messages"] == before + 2


def test_overview_for_users_without_monitoring(manager: HttpApi) -> None:
    assert "listeners" not in manager.get("/overview")


def test_whoami(api: HttpApi, manager: HttpApi) -> None:
    assert api.get("/whoami") == {"name": "guest", "tags": ["administrator"]}
    assert manager.get("/whoami") == {"name": manager.user, "tags": ["management"]}


def test_small_facts(api: HttpApi) -> None:
    assert api.get("/cluster-name")["name"] == api.get("/overview")["cluster_name"]
    assert isinstance(api.get("/extensions"), list)
    assert isinstance(api.get("/feature-flags"), list)


@pytest.mark.deviates("RabbitMQ before 4.3 has no retries")
def test_messages_that_wait_to_be_tried_again_are_counted(api: HttpApi, name: str) -> None:
    before = api.get("/overview")["queue_totals"]["messages"]
    arguments = {"x-delayed-retry-min": 3_600_000}
    assert api("PUT", f"/queues/{{v}}/{name}", {"arguments": arguments}).status == 201
    api.publish(name, "1")
    body = {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}
    assert api("POST", f"/queues/{{v}}/{name}/get", body).status == 200
    assert api.get("/overview")["queue_totals"]["messages"] == before + 1
    assert api("DELETE", f"/queues/{{v}}/{name}").status == 204
