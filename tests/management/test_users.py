"""Users over HTTP (FEATURES A18.12)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpbroker.auth.passwords import (
    ALGORITHMS,
    SCRYPT,
    SHA256,
    ScryptCost,
    hash_with_digest,
    hash_with_scrypt,
)
from tests.helpers import start_broker
from tests.management.http_api import HttpApi, reason

if TYPE_CHECKING:
    from tests.features.conftest import Connect

CHEAP = ScryptCost(ln=4, r=1, p=1)


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


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_what_is_shown_of_a_user_makes_it_again(api: HttpApi, name: str, algorithm: str) -> None:
    # A14.3, A15.14
    made = (
        hash_with_scrypt(b"p", CHEAP) if algorithm == SCRYPT else hash_with_digest(b"p", algorithm)
    )
    body = {"password_hash": made, "hashing_algorithm": algorithm, "tags": "management"}
    assert api("PUT", f"/users/{name}", body).status == 201
    shown = api.get(f"/users/{name}")
    (exported,) = (user for user in api.get("/definitions")["users"] if user["name"] == name)
    without_algorithm = {key: shown[key] for key in ("password_hash", "tags")}
    for again in (shown, exported, without_algorithm):
        assert api("DELETE", f"/users/{name}").status == 204
        if again is without_algorithm and algorithm not in (SCRYPT, SHA256):
            again["hashing_algorithm"] = algorithm
        assert api("PUT", f"/users/{name}", again).status == 201
        assert api.get(f"/users/{name}") == shown
        assert api.as_user(name, "p").get("/whoami")["name"] == name
    assert api("DELETE", f"/users/{name}").status == 204
    assert api("POST", "/definitions", {"users": [exported]}).status == 204
    assert api.get(f"/users/{name}") == shown
    assert api("DELETE", f"/users/{name}").status == 204


@pytest.mark.parametrize(
    ("body", "reason_is"),
    [
        ({"password_hash": "é"}, ["not_base64", "é"]),
        ({"password_hash": "$scrypt$x"}, ["not_scrypt", "$scrypt$x"]),
        ({"password_hash": "YQ==", "hashing_algorithm": SCRYPT}, ["not_scrypt", "YQ=="]),
        ({"password_hash": "YQ==", "hashing_algorithm": "n"}, ["unknown_hashing_algorithm", "n"]),
    ],
)
def test_a_hash_that_nobody_can_check_is_refused(
    api: HttpApi, name: str, body: dict[str, str], reason_is: list[str]
) -> None:
    assert reason(api("PUT", f"/users/{name}", {**body, "tags": ""})) == (400, reason_is)
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
