"""Policies over HTTP: paths, answers, who may, and what queues show (FEATURES A13, A15.11)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.management.http_api import HttpApi, reason

BOTH = pytest.mark.parametrize("kind", ["policies", "operator-policies"])
BODY = {"pattern": "^q", "definition": {"max-length": 5}}
NOT_YOURS = (401, "User not authorised to access object")


@BOTH
def test_a_policy_comes_changes_and_goes(api: HttpApi, vhost: str, kind: str) -> None:
    path = f"/{kind}/{vhost}/p"
    assert api("GET", path).status == 404
    assert api("PUT", path, BODY).status == 201
    row: dict[str, Any] = {"vhost": vhost, "name": "p", **BODY, "apply-to": "all", "priority": 0}
    assert api.get(path) == row
    assert api("PUT", path, {**BODY, "priority": 3, "apply-to": "queues"}).status == 204
    row |= {"priority": 3, "apply-to": "queues"}
    assert api.get(f"/{kind}/{vhost}") == [row]
    assert [each for each in api.get(f"/{kind}") if each["vhost"] == vhost] == [row]
    assert api("DELETE", path).status == 204
    assert api("DELETE", path).status == 404
    assert api.get(f"/{kind}/{vhost}") == []


@BOTH
def test_an_unknown_vhost(api: HttpApi, name: str, kind: str) -> None:
    assert reason(api("PUT", f"/{kind}/{name}/p", BODY)) == (404, "vhost_not_found")
    assert api("GET", f"/{kind}/{name}").status == 404
    assert api("GET", f"/{kind}/{name}/p").status == 404
    assert api("DELETE", f"/{kind}/{name}/p").status == 404


@BOTH
def test_a_body_that_lacks_something(api: HttpApi, vhost: str, kind: str) -> None:
    path = f"/{kind}/{vhost}/p"
    assert reason(api("PUT", path)) == (400, "[{key_missing,pattern},{key_missing,definition}]")
    assert reason(api("PUT", path, b"x")) == (400, "not_json")
    assert api("PUT", path, {**BODY, "definition": []}).status == 400


@BOTH
def test_what_is_wrong_is_said_in_the_words_of_rabbitmq(
    api: HttpApi, vhost: str, kind: str
) -> None:
    body = {"pattern": "", "definition": {"bogus": 1}, "priority": "x"}
    assert reason(api("PUT", f"/{kind}/{vhost}/p", body)) == (
        400,
        'Validation failed\n\n[{<<"bogus">>,1}] are not recognised policy settings\n'
        'priority should be a number, actually was <<"x">>\n',
    )


def test_what_a_queue_and_an_exchange_show(api: HttpApi, vhost: str) -> None:
    queue = f"/queues/{vhost}/q"
    api("PUT", queue, {})
    api("PUT", f"/policies/{vhost}/p", {"pattern": "", "definition": {"max-length": 7}})
    api("PUT", f"/operator-policies/{vhost}/o", {**BODY, "definition": {"max-length": 5}})
    row = api.get(queue)
    assert (row["policy"], row["operator_policy"]) == ("p", "o")
    assert row["effective_policy_definition"] == {"max-length": 5}
    assert api.get(f"/exchanges/{vhost}/amq.direct")["policy"] == "p"
    api("DELETE", f"/policies/{vhost}/p")
    api("DELETE", f"/operator-policies/{vhost}/o")
    row = api.get(queue)
    assert (row["policy"], row["operator_policy"]) == (None, None)
    assert row["effective_policy_definition"] == {}
    assert "policy" not in api.get(f"/exchanges/{vhost}/amq.direct")


def permit(api: HttpApi, vhost: str, name: str, tag: str) -> None:
    """Let the manager ``u-name`` enter a vhost, with another tag."""
    api("PUT", f"/users/u-{name}", {"password": "p", "tags": tag})
    nothing = dict.fromkeys(("configure", "write", "read"), "^$")
    assert api("PUT", f"/permissions/{vhost}/u-{name}", nothing).status == 201


@pytest.mark.parametrize("tag", ["management", "monitoring"])
def test_who_is_no_policymaker_sees_lists_alone(
    api: HttpApi, manager: HttpApi, vhost: str, name: str, tag: str
) -> None:
    permit(api, vhost, name, tag)
    api("PUT", f"/policies/{vhost}/p", BODY)
    assert [row["name"] for row in manager.get(f"/policies/{vhost}")] == ["p"]
    assert [row["name"] for row in manager.get("/policies")] == ["p"]
    for method in ("GET", "PUT", "DELETE"):
        assert reason(manager(method, f"/policies/{vhost}/p", BODY)) == NOT_YOURS


def test_a_policymaker_makes_policies_where_it_may_enter(
    api: HttpApi, manager: HttpApi, vhost: str, name: str
) -> None:
    permit(api, vhost, name, "policymaker")
    assert manager("PUT", f"/policies/{vhost}/p", BODY).status == 201
    assert manager("GET", f"/policies/{vhost}/p").status == 200
    assert manager("DELETE", f"/policies/{vhost}/p").status == 204
    assert reason(manager("PUT", "/policies/{v}/p", BODY)) == NOT_YOURS
    assert manager("GET", "/policies/{v}").status == 401


@pytest.mark.deviates("RabbitMQ's patterns have limits, Python's have not")
def test_a_pattern_that_could_take_long_is_for_administrators(
    api: HttpApi, manager: HttpApi, vhost: str, name: str
) -> None:
    permit(api, vhost, name, "policymaker")
    slow = {**BODY, "pattern": "^(a+)+$"}
    status, text = reason(manager("PUT", f"/policies/{vhost}/p", slow))
    assert status == 400
    assert "pattern could take too long to match" in text
    assert manager("GET", f"/policies/{vhost}/p").status == 404
    assert api("PUT", f"/policies/{vhost}/p", slow).status == 201


def test_operator_policies_are_for_administrators(
    api: HttpApi, manager: HttpApi, vhost: str, name: str
) -> None:
    permit(api, vhost, name, "policymaker")
    assert manager.get(f"/operator-policies/{vhost}") == []
    for method in ("GET", "PUT", "DELETE"):
        answer = manager(method, f"/operator-policies/{vhost}/p", BODY)
        assert reason(answer) == (401, "Not administrator user")


def test_an_administrator_needs_no_permissions_in_the_vhost(
    api: HttpApi, manager: HttpApi, vhost: str, name: str
) -> None:
    api("PUT", f"/users/u-{name}", {"password": "p", "tags": "administrator"})
    assert manager("PUT", f"/policies/{vhost}/p", BODY).status == 201
    assert [row["name"] for row in manager.get(f"/policies/{vhost}")] == ["p"]
    assert vhost in [row["vhost"] for row in manager.get("/policies")]
