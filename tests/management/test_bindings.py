"""Bindings over HTTP (FEATURES A18.10)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest

from tests.management.http_api import quote

if TYPE_CHECKING:
    from tests.management.http_api import HttpApi
    from tests.raw_client import RawClient


@pytest.mark.parametrize(
    ("key", "properties_key"),
    [("", "~"), ("a.b", "a.b"), ("a b/c", "a+b%2Fc"), ("é%", "%C3%A9%25")],
)
def test_a_binding_is_found_by_its_properties_key(
    api: HttpApi, exchange: str, queue: str, key: str, properties_key: str
) -> None:
    path = f"/bindings/{{v}}/e/{exchange}/q/{queue}"
    answer = api("POST", path, {"routing_key": key})
    assert answer.status == 201
    assert answer.headers["location"] == f"{queue}/{quote(properties_key)}"
    expected = {
        "source": exchange,
        "vhost": api.vhost,
        "destination": queue,
        "destination_type": "queue",
        "routing_key": key,
        "arguments": {},
        "properties_key": properties_key,
    }
    assert api.get(path) == [expected]
    assert api.get(f"{path}/{quote(properties_key)}") == expected
    assert api("DELETE", f"{path}/{quote(properties_key)}").status == 204
    assert api.get(path) == []


def test_a_key_encoded_only_once_is_understood(api: HttpApi, exchange: str, queue: str) -> None:
    path = f"/bindings/{{v}}/e/{exchange}/q/{queue}"
    assert api("POST", path, {"routing_key": "a b/c"}).status == 201
    assert api("DELETE", f"{path}/a%20b%2Fc").status == 204


def test_arguments_tell_bindings_apart(api: HttpApi, exchange: str, queue: str) -> None:
    path = f"/bindings/{{v}}/e/{exchange}/q/{queue}"
    tables: tuple[object, ...] = ({"a": 1}, {"a": 2}, [])
    for arguments in tables:
        assert api("POST", path, {"routing_key": "k", "arguments": arguments}).status == 201
    keys = {item["properties_key"]: item["arguments"] for item in api.get(path)}
    assert len(keys) == 3
    assert keys["k"] == {}
    one = next(key for key, arguments in keys.items() if arguments == {"a": 1})
    assert one.startswith("k~")
    assert api("DELETE", f"{path}/{quote(one)}").status == 204
    assert {"a": 1} not in [item["arguments"] for item in api.get(path)]


@pytest.mark.deviates("RabbitMQ 3.10 answers 500, and then to every list")
def test_a_tilde_in_a_key_is_part_of_it(api: HttpApi, exchange: str, queue: str) -> None:
    path = f"/bindings/{{v}}/e/{exchange}/q/{queue}"
    answer = api("POST", path, {"routing_key": "k~1", "arguments": {"a": "x"}})
    assert answer.status == 201
    key = unquote(answer.headers["location"].partition("/")[2])
    assert api.get(f"{path}/{quote(key)}")["routing_key"] == "k~1"


def test_messages_follow_a_binding_made_over_http(
    api: HttpApi, exchange: str, queue: str, client: RawClient
) -> None:
    assert (
        api("POST", f"/bindings/{{v}}/e/{exchange}/q/{queue}", {"routing_key": "#"}).status == 201
    )
    client.publish("any.key", b"one", exchange=exchange)
    assert client.get_all(queue) == [b"one"]


def test_exchange_to_exchange(api: HttpApi, exchange: str) -> None:
    path = f"/bindings/{{v}}/e/{exchange}/e/amq.fanout"
    assert api("POST", path, {"routing_key": "k"}).headers["location"] == "amq.fanout/k"
    assert [item["destination_type"] for item in api.get(path)] == ["exchange"]
    shown = api.get(f"/exchanges/{{v}}/{exchange}/bindings/source")
    assert [item["destination"] for item in shown] == ["amq.fanout"]
    shown = api.get("/exchanges/{v}/amq.fanout/bindings/destination")
    assert exchange in [item["source"] for item in shown]
    assert api("DELETE", f"{path}/k").status == 204


def test_every_queue_is_bound_to_the_default_exchange(api: HttpApi, queue: str) -> None:
    shown = api.get(f"/queues/{{v}}/{queue}/bindings")
    assert [(item["source"], item["routing_key"]) for item in shown] == [("", queue)]
    assert api.get(f"/bindings/{{v}}/e/amq.default/q/{queue}") == shown
    assert api.get(f"/bindings/{{v}}/e//q/{queue}") == shown
    assert shown[0] in api.get("/bindings/{v}")
    assert shown[0] in api.get("/bindings")


def test_the_default_exchange_takes_no_binding(api: HttpApi, queue: str) -> None:
    assert api("POST", f"/bindings/{{v}}/e//q/{queue}", {}).status == 401


def test_what_is_not_there_is_404(api: HttpApi, exchange: str, queue: str, name: str) -> None:
    where = f"in vhost '{api.vhost}'"
    answer = api("POST", f"/bindings/{{v}}/e/{exchange}/q/no-{name}", {})
    assert answer.body == {"error": "not_found", "reason": f"no queue 'no-{name}' {where}"}
    answer = api("POST", f"/bindings/{{v}}/e/no-{name}/q/{queue}", {})
    assert answer.body == {"error": "not_found", "reason": f"no exchange 'no-{name}' {where}"}
    assert api("GET", f"/bindings/{{v}}/e/{exchange}/q/{queue}/nope").status == 404
    assert api("DELETE", f"/bindings/{{v}}/e/{exchange}/q/{queue}/nope").status == 404
    assert api("GET", f"/bindings/{name}").status == 404
