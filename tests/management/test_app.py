"""Answers that are nobody's in particular."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.management.http_api import HttpApi

NOT_FOUND = {"error": "Object Not Found", "reason": "Not Found"}


def test_a_path_that_leads_nowhere(api: HttpApi) -> None:
    answer = api("GET", "/nothing/here")
    assert (answer.status, answer.body) == (404, NOT_FOUND)
    assert answer.headers["content-type"] == "application/json"


def test_a_method_that_is_not_for_this_path(api: HttpApi) -> None:
    answer = api("DELETE", "/overview")
    assert (answer.status, answer.body) == (405, b"")
    assert "GET" in answer.headers["allow"]


def test_head_has_no_body(api: HttpApi) -> None:
    answer = api("HEAD", "/overview")
    assert (answer.status, answer.body) == (200, b"")


def test_a_trailing_slash_makes_no_difference(api: HttpApi) -> None:
    assert api.get("/whoami/") == api.get("/whoami")


def test_answers_are_dated_and_not_kept(api: HttpApi) -> None:
    headers = api("GET", "/whoami").headers
    assert headers["cache-control"] == "no-cache"
    assert headers["date"].endswith("GMT")
