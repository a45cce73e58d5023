"""Vhosts over HTTP (FEATURES A18.11)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.management.http_api import HttpApi, quote, reason

if TYPE_CHECKING:
    from tests.features.conftest import Connect
    from tests.raw_client import RawClient


def test_a_vhost_comes_and_goes(api: HttpApi, name: str) -> None:
    path = f"/vhosts/{quote(f'{name}/x')}"
    assert api("PUT", path, {}).status == 201
    assert api("PUT", path, {}).status == 204
    assert api.get(path)["name"] == f"{name}/x"
    assert f"{name}/x" in [item["name"] for item in api.get("/vhosts")]
    assert api("DELETE", path).status == 204
    assert api("DELETE", path).status == 404
    assert api("GET", path).status == 404


def test_whoever_makes_a_vhost_may_use_it(api: HttpApi, name: str) -> None:
    assert api("PUT", f"/vhosts/{name}").status == 201
    assert api("PUT", f"/queues/{name}/q", {}).status == 201
    assert api("DELETE", f"/vhosts/{name}").status == 204
    assert api("GET", f"/queues/{name}").status == 404
    assert api("PUT", f"/vhosts/{name}").status == 201
    assert api.get(f"/queues/{name}") == []
    assert api("DELETE", f"/vhosts/{name}").status == 204


def test_a_vhost_is_described(api: HttpApi, name: str) -> None:
    path = f"/vhosts/{name}"
    assert api("PUT", path, {"description": "for tests", "tags": "a, b"}).status == 201
    described = {"description": "for tests", "tags": ["a", "b"]}
    assert api.get(path)["metadata"] == described
    assert api("DELETE", path).status == 204


@pytest.mark.deviates("RabbitMQ 3.10 knows default queue types but does not show them in arguments")
def test_durable_queues_get_the_type_of_their_vhost(api: HttpApi, name: str) -> None:
    """A4.12."""
    assert api("PUT", f"/vhosts/{name}", {"default_queue_type": "classic"}).status == 201
    assert api("PUT", f"/vhosts/{name}", {"description": "kept"}).status == 204
    shown = api.get(f"/vhosts/{name}")
    assert shown["default_queue_type"] == shown["metadata"]["default_queue_type"] == "classic"
    for queue, durable in (("d", True), ("t", False)):
        assert api("PUT", f"/queues/{name}/{queue}", {"durable": durable}).status == 201
        assert api("PUT", f"/queues/{name}/{queue}", {"durable": durable}).status == 204
    assert api.get(f"/queues/{name}/d")["arguments"] == {"x-queue-type": "classic"}
    assert api.get(f"/queues/{name}/t")["arguments"] == {}
    assert api("PUT", f"/vhosts/{name}", {"default_queue_type": "undefined"}).status == 204
    assert api.get(f"/vhosts/{name}")["default_queue_type"] == "undefined"
    assert api("PUT", f"/queues/{name}/d", {"durable": True}).status == 204
    assert api("DELETE", f"/vhosts/{name}").status == 204


@pytest.mark.deviates("RabbitMQ has more queue types")
def test_an_unknown_queue_type_is_refused(api: HttpApi, name: str) -> None:
    assert api("PUT", f"/vhosts/{name}", {"default_queue_type": "mqtt"}).status == 400
    assert api("GET", f"/vhosts/{name}").status == 404


@pytest.mark.deviates("RabbitMQ 3.10 says that it is down")
def test_connections_go_with_their_vhost(api: HttpApi, name: str, dial: Connect) -> None:
    assert api("PUT", f"/vhosts/{name}").status == 201
    client: RawClient = dial()
    client.login()
    client.tune_ok()
    client.open(name)
    assert api("DELETE", f"/vhosts/{name}").status == 204
    client.expect_connection_error(320, f"CONNECTION_FORCED - vhost '{name}' is deleted")


def test_only_administrators_change_vhosts(manager: HttpApi, name: str) -> None:
    refused = (401, "Not administrator user")
    assert reason(manager("PUT", f"/vhosts/{name}", {})) == refused
    assert reason(manager("DELETE", "/vhosts/%2F")) == refused
    assert manager.get("/vhosts") == []
