"""Exchanges over HTTP (FEATURES A18.9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.management.http_api import quote, reason

if TYPE_CHECKING:
    from tests.management.http_api import HttpApi
    from tests.raw_client import RawClient


def test_put_makes_and_then_finds_an_exchange(api: HttpApi, name: str) -> None:
    body = {"type": "fanout", "durable": True, "auto_delete": "false", "arguments": {"a": 1}}
    assert api("PUT", f"/exchanges/{{v}}/{name}", body).status == 201
    assert api("PUT", f"/exchanges/{{v}}/{name}", body).status == 204
    shown = api.get(f"/exchanges/{{v}}/{name}")
    expected = {"name": name, "vhost": api.vhost, "internal": False, **body, "auto_delete": False}
    assert {key: shown[key] for key in expected} == expected


def test_a_different_declaration_is_refused_as_over_amqp(api: HttpApi, exchange: str) -> None:
    answer = api("PUT", f"/exchanges/{{v}}/{exchange}", {"type": "direct"})
    where = f"exchange '{exchange}' in vhost '{api.vhost}'"
    text = f"inequivalent arg 'type' for {where}: received 'direct' but current is 'topic'"
    assert reason(answer) == (400, text)
    assert answer.body["error"] == "bad_request"


def test_an_unknown_type_is_refused(api: HttpApi, name: str) -> None:
    answer = api("PUT", f"/exchanges/{{v}}/{name}", {"type": "x-nope"})
    assert reason(answer) == (400, "unknown exchange type 'x-nope'")


def test_system_exchanges_stay(api: HttpApi) -> None:
    refused = (401, "Access refused.")
    assert reason(api("DELETE", "/exchanges/{v}/amq.topic")) == refused
    assert reason(api("DELETE", "/exchanges/{v}/amq.default")) == refused
    assert reason(api("PUT", "/exchanges/{v}/amq.new", {})) == refused


def test_the_nameless_exchange_is_amq_default(api: HttpApi) -> None:
    assert api.get("/exchanges/{v}/amq.default")["name"] == ""


def test_delete(api: HttpApi, exchange: str, client: RawClient) -> None:
    assert api("DELETE", f"/exchanges/{{v}}/{exchange}").status == 204
    assert api("DELETE", f"/exchanges/{{v}}/{exchange}").status == 404
    assert api("GET", f"/exchanges/{{v}}/{exchange}").status == 404


def test_delete_if_unused_spares_a_bound_exchange(api: HttpApi, exchange: str, queue: str) -> None:
    assert api("POST", f"/bindings/{{v}}/e/{exchange}/q/{queue}", {}).status == 201
    answer = api("DELETE", f"/exchanges/{{v}}/{exchange}?if-unused=true")
    assert answer.status == 400
    assert api("DELETE", f"/exchanges/{{v}}/{exchange}").status == 204


def test_a_slash_in_a_name_is_part_of_it(api: HttpApi, name: str) -> None:
    path = f"/exchanges/{{v}}/{quote(f'{name}/é')}"
    assert api("PUT", path, {}).status == 201
    assert api.get(path)["name"] == f"{name}/é"
    assert api("DELETE", path).status == 204


def test_the_list_has_the_predeclared_exchanges(api: HttpApi) -> None:
    names = [item["name"] for item in api.get("/exchanges/{v}")]
    assert {"", "amq.direct", "amq.fanout", "amq.headers", "amq.match", "amq.topic"} <= set(names)
    assert names == sorted(names)
    everywhere = api.get("/exchanges")
    assert {"", "amq.topic"} <= {x["name"] for x in everywhere if x["vhost"] == api.vhost}


def test_a_vhost_that_is_not_there(api: HttpApi, name: str) -> None:
    assert api("GET", f"/exchanges/{name}/x").status == 404
    answer = api("PUT", f"/exchanges/{name}/x", {})
    assert answer.body == {"error": "not_found", "reason": "vhost_not_found"}
