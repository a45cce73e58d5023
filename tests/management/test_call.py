"""Logging in, and what a request brings along (FEATURES A15.11, A18)."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from tests.management.http_api import reason

if TYPE_CHECKING:
    from tests.management.http_api import HttpApi


def test_nobody_is_asked_to_log_in(api: HttpApi) -> None:
    answer = api.raw("GET", "/whoami", None, {})
    assert (answer.status, answer.body) == (401, b"")
    assert answer.headers["www-authenticate"] == 'Basic realm="RabbitMQ Management"'


@pytest.mark.parametrize("user", ["guest", "nobody", ""])
def test_a_wrong_password_is_refused(api: HttpApi, user: str) -> None:
    answer = api.as_user(user, "wrong")("GET", "/whoami")
    assert answer.status == 401
    assert answer.body == {"error": "not_authorized", "reason": "Login failed"}


@pytest.mark.deviates("RabbitMQ 3.10 answers some of them with 400 or no body")
@pytest.mark.parametrize("token", ["", "!", base64.b64encode(b"guest").decode()])
def test_credentials_that_make_no_sense_are_refused(api: HttpApi, token: str) -> None:
    answer = api.raw("GET", "/whoami", None, {"Authorization": f"Basic {token}"})
    assert reason(answer) == (401, "Login failed")


def test_a_user_without_a_tag_is_refused(api: HttpApi, name: str) -> None:
    assert api("PUT", f"/users/{name}", {"password": "p", "tags": "other"}).status == 201
    answer = api.as_user(name, "p")("GET", "/whoami")
    assert answer.status == 401
    assert answer.body == {"error": "not_authorised", "reason": "Not management user"}
    assert api("DELETE", f"/users/{name}").status == 204


def test_a_colon_may_be_in_a_password(api: HttpApi, name: str) -> None:
    assert api("PUT", f"/users/{name}", {"password": "a:b", "tags": "management"}).status == 201
    assert api.as_user(name, "a:b").get("/whoami")["name"] == name
    assert api("DELETE", f"/users/{name}").status == 204


@pytest.mark.deviates("RabbitMQ takes it")
def test_a_body_nested_too_deeply_is_refused(api: HttpApi, name: str) -> None:
    for depth in (200, 100_000):
        body = b'{"arguments":{"a":' + b"[" * depth + b"]" * depth + b"}}"
        assert api("PUT", f"/queues/{{v}}/{name}", body).status == 400


@pytest.mark.deviates("the limit follows from ours for messages")
def test_a_body_that_is_too_large_is_refused(api: HttpApi) -> None:
    answer = api("PUT", "/queues/{v}/q", b"[" + b" " * (32 * 1024 * 1024))
    assert answer.status == 400
