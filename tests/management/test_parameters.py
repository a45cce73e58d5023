"""Runtime parameters over HTTP (FEATURES A13.7)."""

from __future__ import annotations

import pytest

from tests.management.http_api import HttpApi, reason

VALUE = {"pattern": "^q", "definition": {"max-length": 5}, "priority": 1, "apply-to": "all"}
NOT_YOURS = (401, "User not authorised to access object")


def test_an_operator_policy_is_a_parameter(api: HttpApi, vhost: str) -> None:
    path = f"/parameters/operator_policy/{vhost}/o"
    assert api("PUT", path, {"value": VALUE}).status == 201
    assert api("PUT", path, {"value": VALUE}).status == 204
    row = {"value": VALUE, "vhost": vhost, "component": "operator_policy", "name": "o"}
    assert api.get(path) == row
    assert api.get(f"/parameters/operator_policy/{vhost}") == [row]
    assert row in api.get("/parameters/operator_policy")
    assert row in api.get("/parameters")
    assert api.get(f"/operator-policies/{vhost}/o")["definition"] == {"max-length": 5}
    assert api("DELETE", path).status == 204
    assert api("DELETE", path).status == 404
    assert api("GET", path).status == 404


def test_limits_are_a_parameter(api: HttpApi, vhost: str) -> None:
    path = f"/parameters/vhost-limits/{vhost}/limits"
    assert api("PUT", path, {"value": {"max-queues": 3}}).status == 201
    assert api.get(path)["value"] == {"max-queues": 3}
    assert api.get(f"/vhost-limits/{vhost}") == [{"vhost": vhost, "value": {"max-queues": 3}}]
    assert api("PUT", path, {"value": {"max-queues": "x"}}).status == 400
    assert api("DELETE", path).status == 204
    assert api.get(f"/parameters/vhost-limits/{vhost}") == []


def test_policies_are_shown_but_not_set(api: HttpApi, vhost: str) -> None:
    assert api("PUT", f"/policies/{vhost}/p", VALUE).status == 201
    row = {"value": VALUE, "vhost": vhost, "component": "policy", "name": "p"}
    assert api.get(f"/parameters/policy/{vhost}") == [row]
    assert row not in api.get("/parameters")
    for method in ("PUT", "DELETE"):
        answer = api(method, f"/parameters/policy/{vhost}/p", {"value": VALUE})
        assert reason(answer) == (400, "policies may not be set using this method")


@pytest.mark.parametrize(
    ("component", "value", "text"),
    [
        ("shovel", {}, "component shovel not found"),
        ("operator_policy", {**VALUE, "definition": {"a": 1}}, '[{<<"a">>,1}] are not recognised'),
        ("operator_policy", {"pattern": "", "definition": {}}, 'Key "priority" not found in n'),
        ("operator_policy", 1, "expected an object for n"),
    ],
)
def test_what_is_refused(
    api: HttpApi, vhost: str, component: str, value: object, text: str
) -> None:
    status, why = reason(api("PUT", f"/parameters/{component}/{vhost}/n", {"value": value}))
    assert status == 400
    assert why.startswith(f"Validation failed\n\n{text}")


def test_an_unknown_vhost_or_component(api: HttpApi, vhost: str, name: str) -> None:
    path = f"/parameters/operator_policy/no-{name}/o"
    assert reason(api("PUT", path, {"value": VALUE})) == (404, "vhost_not_found")
    assert api("GET", path).status == 404
    assert api.get("/parameters/shovel") == api.get(f"/parameters/shovel/{vhost}") == []


def test_a_global_parameter_comes_and_goes(api: HttpApi, name: str) -> None:
    path = f"/global-parameters/{name}"
    assert api("GET", path).status == 404
    assert reason(api("PUT", path, {})) == (400, "[{key_missing,value}]")
    assert api("PUT", path, {"value": {"a": [1]}}).status == 201
    assert api("PUT", path, {"value": 2}).status == 204
    assert api.get(path) == {"name": name, "value": 2}
    assert {"name": name, "value": 2} in api.get("/global-parameters")
    assert {"name": name, "value": 2} in api.get("/definitions")["global_parameters"]
    assert api("DELETE", path).status == 204
    assert api("DELETE", path).status == 404


def test_who_may(api: HttpApi, manager: HttpApi, vhost: str, name: str) -> None:
    paths = ("/parameters", "/global-parameters", f"/parameters/operator_policy/{vhost}/o")
    for path in paths:
        assert reason(manager("GET", path)) == NOT_YOURS
    api("PUT", f"/users/u-{name}", {"password": "p", "tags": "policymaker"})
    assert manager.get("/parameters") == []
    assert reason(manager("GET", paths[2])) == NOT_YOURS
    nothing = dict.fromkeys(("configure", "write", "read"), "^$")
    api("PUT", f"/permissions/{vhost}/u-{name}", nothing)
    assert manager("GET", paths[2]).status == 404
    answer = manager("PUT", paths[2], {"value": VALUE})
    assert reason(answer) == (401, "Not administrator user")
