"""Exporting and importing definitions (FEATURES A18.16)."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from amqpbroker.management.app import create_app
from tests.definitions.place import Place
from tests.helpers import start_broker
from tests.management.asgi import GUEST, request
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
    assert vhost in [each["name"] for each in shown["vhosts"]]
    assert "guest" in [user["name"] for user in shown["users"]]
    assert {"user": "guest", "vhost": vhost} in [
        {key: row[key] for key in ("user", "vhost")} for row in shown["permissions"]
    ]


def test_policies_are_exported(api: HttpApi, vhost: str) -> None:
    body = {"pattern": "^q", "definition": {"max-length": 5}, "priority": 2, "apply-to": "queues"}
    assert api("PUT", f"/policies/{vhost}/p", body).status == 201
    assert api("PUT", f"/operator-policies/{vhost}/o", body).status == 201
    shown = api.get(f"/definitions/{vhost}")
    parameter = {"vhost": vhost, "component": "operator_policy", "name": "o", "value": body}
    assert shown["policies"] == [{"vhost": vhost, "name": "p", **body}]
    assert shown["parameters"] == [parameter]
    shown = api.get("/definitions")
    assert {"vhost": vhost, "name": "p", **body} in shown["policies"]
    assert parameter in shown["parameters"]


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


def test_an_export_imports_into_another_broker_and_exports_alike(
    api: HttpApi, vhost: str, name: str
) -> None:
    assert api("PUT", f"/vhost-limits/{vhost}/max-queues", {"value": 7}).status == 204
    policy = {"pattern": "^q", "definition": {"message-ttl": 3_600_000}, "priority": 2}
    assert api("PUT", f"/policies/{vhost}/p", policy).status == 201
    assert api("PUT", f"/operator-policies/{vhost}/o", policy).status == 201
    topics = {"exchange": "x", "write": "a", "read": "b"}
    assert api("PUT", f"/topic-permissions/{vhost}/guest", topics).status == 201
    assert api("PUT", f"/users/o-{name}", {"password": "p", "tags": "a,b"}).status == 201
    exported = api.get("/definitions")
    assert api("DELETE", f"/users/o-{name}").status == 204
    with start_broker() as other:
        there = HttpApi(other.host, other.management_port, other.vhost)
        answer = there("POST", "/definitions", exported)
        assert (answer.status, answer.body) == (204, b"")
        again = there.get("/definitions")
        assert there("POST", "/definitions", again).status == 204
        assert there.get("/definitions") == again
    without_reserved = [row for row in exported["queues"] if not row["name"].startswith("amq.")]
    assert sorted(again.pop("queues"), key=str) == sorted(without_reserved, key=str)
    for kind, rows in again.items():
        mine = exported[kind]
        assert rows == mine or sorted(rows, key=str) == sorted(mine, key=str)


def test_limits_of_a_vhost_are_a_parameter(api: HttpApi, vhost: str) -> None:
    assert api("PUT", f"/vhost-limits/{vhost}/max-queues", {"value": 7}).status == 204
    parameter = {"vhost": vhost, "component": "vhost-limits", "name": "limits"}
    expected = [{**parameter, "value": {"max-queues": 7}}]
    assert api.get(f"/definitions/{vhost}")["parameters"] == expected
    assert api.get("/definitions")["parameters"] == expected


def test_into_one_vhost(api: HttpApi, vhost: str) -> None:
    exported = api.get(f"/definitions/{vhost}")
    exported["queues"].append({"name": "r", "durable": True, "auto_delete": False})
    assert api("POST", f"/definitions/{vhost}", exported).status == 204
    queues = api.get(f"/definitions/{vhost}")["queues"]
    assert [queue["name"] for queue in queues] == ["q", "r"]


def test_a_form_of_a_browser(api: HttpApi, vhost: str) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="d.json"\r\n\r\n'
        b'{"queues": [{"name": "f\xc3\xa4", "durable": true}]}\r\n--b--\r\n'
    )
    form = "multipart/form-data; boundary=b"
    assert api("POST", f"/definitions/{vhost}", body, content_type=form).status == 204
    assert [item["name"] for item in api.get(f"/definitions/{vhost}")["queues"]] == ["q", "f\u00e4"]
    nothing = b"--b\r\n\r\n--b--"
    answer = api("POST", f"/definitions/{vhost}", nothing, content_type=form)
    assert reason(answer) == (400, "expected a part named file, found none")


def test_a_mistake_is_named(api: HttpApi, vhost: str) -> None:
    body = {"queues": [{"name": "n", "durable": True}, {"name": "m", "durable": 1}]}
    answer = api("POST", f"/definitions/{vhost}", body)
    assert reason(answer) == (400, "queues[1].durable: expected a boolean, found 1")
    assert len(api.get(f"/definitions/{vhost}")["queues"]) == 1


def test_who_may_import(api: HttpApi, manager: HttpApi, name: str) -> None:
    assert reason(manager("POST", "/definitions", {})) == (401, "Not administrator user")
    assert manager("POST", "/definitions/{v}", {}).status == 401
    assert reason(api("POST", f"/definitions/{name}", {})) == (400, "vhost_not_found")


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_users_with_rabbitmqs_hash_can_be_exported_to_it(algorithm: str) -> None:
    # A15.14, A14.3
    module = f"rabbit_password_hashing_{algorithm}"
    with start_broker(password_hashing_module=module) as broker:
        api = HttpApi(broker.host, broker.management_port, "/")
        assert api("PUT", "/users/u", {"password": "p", "tags": "management"}).status == 201
        assert api.as_user("u", "p").get("/whoami")["name"] == "u"
        (row,) = [user for user in api.get("/definitions")["users"] if user["name"] == "u"]
    assert row["hashing_algorithm"] == module
    assert "rabbitmq_can_import" not in row


def test_an_export_marks_users_whom_rabbitmq_refuses(api: HttpApi, name: str) -> None:
    body = {"password": "p", "tags": ""}
    assert api("PUT", f"/users/{name}", body).status == 201
    document = api.get("/definitions")
    marks = {user["name"]: user.get("rabbitmq_can_import") for user in document["users"]}
    assert (marks[name], marks["guest"]) == (False, None)
    assert api("POST", "/definitions", document).status == 204
    assert api("DELETE", f"/users/{name}").status == 204


def test_rates_stand_where_rabbitmq_does_not_look(api: HttpApi, name: str) -> None:
    # RabbitMQ refuses a whole file for a limit that it does not know.
    api("PUT", f"/vhosts/{name}")
    api("PUT", f"/users/{name}", {"password": name, "tags": ""})
    for path in (f"/vhost-limits/{name}", f"/user-limits/{name}"):
        api("PUT", f"{path}/max-connections", {"value": 5})
        api("PUT", f"{path}/max-publish-rate", {"value": 100})
    document = api.get("/definitions")
    (vhost,) = (item for item in document["vhosts"] if item["name"] == name)
    (user,) = (item for item in document["users"] if item["name"] == name)
    (limits,) = (item["value"] for item in document["parameters"] if item["vhost"] == name)
    assert limits == {"max-connections": 5}
    assert user["limits"] == {"max-connections": 5}
    assert vhost["publish_limits"] == user["publish_limits"] == {"max-publish-rate": 100}
    for path in (f"/vhosts/{name}", f"/users/{name}"):
        api("DELETE", path)
    assert api("POST", "/definitions", document).status == 204
    for path in (f"/vhost-limits/{name}", f"/user-limits/{name}"):
        value = {"max-connections": 5, "max-publish-rate": 100}
        assert api.get(path)[0]["value"] == value
    for path in (f"/vhosts/{name}", f"/users/{name}"):
        api("DELETE", path)


async def test_a_full_disk_is_told_and_nothing_is_changed() -> None:
    # A14: all or nothing
    place = Place()
    async with place.running() as broker:
        app = create_app(broker, ())
        place.database.errors.append(sqlite3.SQLITE_FULL)
        data = json.dumps({"queues": [{"name": "q", "vhost": "/", "durable": True}]}).encode()
        status, _, body = await request(app, b"/api/definitions", "POST", (GUEST,), data)
        assert status == 500
        reason = json.loads(body)["reason"]
        assert reason.startswith("nothing was imported: catalog in memory: the disk is full: free")
        assert not broker.vhosts["/"].queues
        assert (await request(app, b"/api/definitions", "POST", (GUEST,), data))[0] == 204
        assert list(broker.vhosts["/"].queues) == ["q"]
