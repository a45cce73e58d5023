"""Users over HTTP (FEATURES A18.12)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.helpers import start_broker
from tests.management.http_api import HttpApi, reason

if TYPE_CHECKING:
    from tests.features.conftest import Connect


def test_a_user_comes_and_goes(api: HttpApi, name: str) -> None:
    body = {"password": "p", "tags": "monitoring, mine"}
    assert api("PUT", f"/users/{name}", body).status == 201
    shown = api.get(f"/users/{name}")
    assert shown in api.get("/users")
    assert (shown["name"], shown["tags"], shown["limits"]) == (name, ["monitoring", "mine"], {})
    assert api.as_user(name, "p").get("/whoami")["name"] == name
    assert api("DELETE", f"/users/{name}").status == 204
    assert api("DELETE", f"/users/{name}").status == 404
    assert api("GET", f"/users/{name}").status == 404


def test_a_password_and_tags_are_replaced(api: HttpApi, name: str) -> None:
    assert api("PUT", f"/users/{name}", {"password": "p", "tags": "management"}).status == 201
    body = {"password": "q", "tags": ["monitoring"]}
    assert api("PUT", f"/users/{name}", body).status == 204
    assert api.as_user(name, "p")("GET", "/whoami").status == 401
    assert api.as_user(name, "q").get("/whoami")["tags"] == ["monitoring"]
    assert api("DELETE", f"/users/{name}").status == 204


def test_a_hash_does_for_a_password(api: HttpApi, name: str) -> None:
    guest = api.get("/users/guest")
    copied = {key: guest[key] for key in ("password_hash", "hashing_algorithm")}
    assert api("PUT", f"/users/{name}", {**copied, "tags": "management"}).status == 201
    assert api.as_user(name, "guest").get("/whoami")["name"] == name
    assert api("PUT", f"/users/{name}", {"password_hash": "", "tags": "management"}).status == 204
    assert api.as_user(name, "guest")("GET", "/whoami").status == 401
    assert api("DELETE", f"/users/{name}").status == 204


def test_a_body_that_makes_no_sense_is_refused(api: HttpApi, name: str) -> None:
    assert reason(api("PUT", f"/users/{name}", {"password": "x"})) == (400, "tags_not_present")
    body = {"password_hash": "x!", "tags": ""}
    assert reason(api("PUT", f"/users/{name}", body)) == (400, ["not_base64", "x!"])
    assert api("GET", f"/users/{name}").status == 404


def test_connections_go_with_their_user(api: HttpApi, name: str, dial: Connect) -> None:
    assert api("PUT", f"/users/{name}", {"password": name, "tags": ""}).status == 201
    every = {"configure": ".*", "write": ".*", "read": ".*"}
    assert api("PUT", f"/permissions/{{v}}/{name}", every).status == 201
    client = dial()
    client.login(name)
    client.tune_ok()
    client.open()
    assert api("DELETE", f"/users/{name}").status == 204
    client.expect_connection_error(320, f"CONNECTION_FORCED - user '{name}' is deleted")


def test_only_administrators_see_users(manager: HttpApi) -> None:
    refused = (401, "Not administrator user")
    assert reason(manager("GET", "/users")) == refused
    assert reason(manager("GET", "/users/guest")) == refused
    assert reason(manager("PUT", "/users/guest", {"password": "x", "tags": ""})) == refused


def test_a_new_password_must_be_as_the_settings_say(name: str) -> None:
    # A15.14
    validator = "rabbit_credential_validator_min_password_length"
    hashing = "rabbit_password_hashing_sha256"
    with start_broker(credential_validator=validator, password_hashing_module=hashing) as broker:
        api = HttpApi(broker.host, broker.management_port, "/")
        short = api("PUT", f"/users/{name}", {"password": "abcd", "tags": ""})
        assert (short.status, short.body["reason"]) == (400, "credential_validation_failed")
        assert api("GET", f"/users/{name}").status == 404
        assert api("PUT", f"/users/{name}", {"password": "abcde", "tags": ""}).status == 201
        hashed = {"password_hash": api.get(f"/users/{name}")["password_hash"], "tags": ""}
        assert api("PUT", f"/users/{name}", hashed).status == 204
