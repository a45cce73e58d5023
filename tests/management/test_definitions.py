"""Exporting definitions (FEATURES A18.16)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.management.http_api import HttpApi, reason

if TYPE_CHECKING:
    from tests.features.conftest import Connect


@pytest.fixture
def vhost(api: HttpApi, name: str) -> Any:
    """A vhost with an exchange x, a queue q and a binding between them."""
    assert api("PUT", f"/vhosts/{name}").status == 201
    arguments = {"x-max-length": 3}
    body = {"durable": True, "arguments": arguments}
    assert api("PUT", f"/queues/{name}/q", body).status == 201
    assert api("PUT", f"/exchanges/{name}/x", {"type": "topic"}).status == 201
    binding = {"routing_key": "k", "arguments": {"a": 1}}
    assert api("POST", f"/bindings/{name}/e/x/q/q", binding).status == 201
    yield name
    assert api("DELETE", f"/vhosts/{name}").status == 204


EXPECTED: dict[str, list[dict[str, Any]]] = {
    "queues": [
        {"name": "q", "durable": True, "auto_delete": False, "arguments": {"x-max-length": 3}}
    ],
    "exchanges": [
        {
            "name": "x",
            "type": "topic",
            "durable": False,
            "auto_delete": False,
            "internal": False,
            "arguments": {},
        }
    ],
    "bindings": [
        {
            "source": "x",
            "destination": "q",
            "destination_type": "queue",
            "routing_key": "k",
            "arguments": {"a": 1},
        }
    ],
}


def test_a_vhost(api: HttpApi, vhost: str) -> None:
    shown = api.get(f"/definitions/{vhost}")
    assert {key: shown[key] for key in EXPECTED} == EXPECTED


def test_all(api: HttpApi, vhost: str) -> None:
    shown = api.get("/definitions")
    for kind, rows in EXPECTED.items():
        own = [row for row in shown[kind] if row["vhost"] == vhost]
        assert own == [{"vhost": vhost, **row} for row in rows]
    assert {"name": vhost} in shown["vhosts"]
    assert "guest" in [user["name"] for user in shown["users"]]
    assert {"user": "guest", "vhost": vhost} in [
        {key: row[key] for key in ("user", "vhost")} for row in shown["permissions"]
    ]
    assert shown["policies"] == []


def test_exclusive_queues_are_left_out(api: HttpApi, vhost: str, dial: Connect) -> None:
    client = dial()
    client.login()
    client.tune_ok()
    client.open(vhost)
    client.open_channel()
    client.declare("mine", exclusive=True)
    client.bind("mine", "x", "k")
    shown = api.get(f"/definitions/{vhost}")
    assert {key: shown[key] for key in EXPECTED} == EXPECTED


def test_a_name_to_save_it_under(api: HttpApi, vhost: str) -> None:
    answer = api("GET", f"/definitions/{vhost}?download=my.json")
    header = answer.headers["content-disposition"].replace('"', "")
    assert header == "attachment; filename=my.json"


def test_who_may_and_where(api: HttpApi, manager: HttpApi, name: str) -> None:
    assert reason(manager("GET", "/definitions")) == (401, "Not administrator user")
    assert manager("GET", "/definitions/{v}").status == 401
    assert reason(api("GET", f"/definitions/{name}")) == (400, "vhost_not_found")
