"""Delayed messages over HTTP: list, show, reschedule, cancel (FEATURES N2)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.management.http_api import HttpApi, reason

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.deviates("RabbitMQ has no such paths")
HOUR_MS = 3_600_000


@pytest.fixture
def later(api: HttpApi, name: str) -> Iterator[HttpApi]:
    """The API with a vhost of its own, in which the queue q is."""
    assert api("PUT", f"/vhosts/{name}", {}).status == 201
    own = HttpApi(api.host, api.port, name)
    assert own("PUT", "/queues/{v}/q", {}).status == 201
    yield own
    assert api("DELETE", f"/vhosts/{name}").status == 204


def publish(api: HttpApi, payload: str, delay_ms: int, exchange: str = "amq.default") -> None:
    body = {
        "routing_key": "q",
        "payload": payload,
        "payload_encoding": "string",
        "properties": {"delivery_mode": 2, "headers": {"x-delay": delay_ms}},
    }
    assert api("POST", f"/exchanges/{{v}}/{exchange}/publish", body).status == 200


def waiting(api: HttpApi, query: str = "") -> Any:
    return api.get("/delayed/{v}" + query)


def payloads(api: HttpApi) -> list[str]:
    return [api.get(f"/delayed/{{v}}/{row['id']}")["payload"] for row in waiting(api)["items"]]


def fetch(api: HttpApi) -> list[str]:
    body = {"count": 9, "ackmode": "ack_requeue_false", "encoding": "auto"}
    return [row["payload"] for row in api("POST", "/queues/{v}/q/get", body).body]


def test_what_waits_is_listed_in_the_order_of_times(later: HttpApi) -> None:
    before = int(time.time() * 1000)
    for hours in (3, 1, 2):
        publish(later, str(hours), hours * HOUR_MS)
    listed = waiting(later)
    assert payloads(later) == ["1", "2", "3"]
    assert (listed["total_count"], listed["next"]) == (3, None)
    row = listed["items"][0]
    assert before + HOUR_MS <= row["deliver_at"] <= int(time.time() * 1000) + HOUR_MS
    assert row == {
        "id": row["id"],
        "deliver_at": row["deliver_at"],
        "vhost": later.vhost,
        "exchange": "",
        "routing_key": "q",
        "payload_bytes": 1,
        "properties": {"delivery_mode": 2, "headers": {"x-delay": HOUR_MS}},
    }
    assert isinstance(row["id"], str)
    shown = later.get(f"/delayed/{{v}}/{row['id']}")
    assert shown == {**row, "payload": "1", "payload_encoding": "string"}


def test_a_long_list_comes_in_parts(later: HttpApi) -> None:
    for hours in range(1, 6):
        publish(later, str(hours), hours * HOUR_MS)
    seen = []
    after = "0"
    while after is not None:
        part = waiting(later, f"?count=2&after={after}")
        seen += [row["deliver_at"] for row in part["items"]]
        after = part["next"]
    assert len(seen) == 5
    assert seen == sorted(seen)


@pytest.mark.parametrize("count", ["0", "501", "x"])
def test_a_count_that_is_none(later: HttpApi, count: str) -> None:
    answer = later("GET", f"/delayed/{{v}}?count={count}")
    assert reason(answer) == (400, "count must be a number from 1 to 500")


def test_what_is_cancelled_is_gone(later: HttpApi) -> None:
    publish(later, "1", HOUR_MS)
    publish(later, "2", 2 * HOUR_MS)
    path = f"/delayed/{{v}}/{waiting(later)['items'][0]['id']}"
    assert later("DELETE", path).status == 204
    assert payloads(later) == ["2"]
    for method, body in (("GET", None), ("DELETE", None), ("PUT", {"deliver_at": 0})):
        assert later(method, path, body).status == 404


def test_a_message_that_is_rescheduled_has_another_id(later: HttpApi) -> None:
    publish(later, "1", HOUR_MS)
    row = waiting(later)["items"][0]
    at_ms = row["deliver_at"] + HOUR_MS
    answer = later("PUT", f"/delayed/{{v}}/{row['id']}", {"deliver_at": at_ms})
    assert answer.status == 200
    assert answer.body["deliver_at"] == at_ms
    assert answer.body["id"] != row["id"]
    assert [each["id"] for each in waiting(later)["items"]] == [answer.body["id"]]


def test_a_time_that_is_past_is_now(later: HttpApi) -> None:
    publish(later, "1", HOUR_MS)
    identity = waiting(later)["items"][0]["id"]
    assert later("PUT", f"/delayed/{{v}}/{identity}", {"deliver_at": 0}).status == 200
    deadline = time.monotonic() + 10
    while not (come := fetch(later)) and time.monotonic() < deadline:
        pass
    assert come == ["1"]


@pytest.mark.parametrize(
    "body", [{}, {"deliver_at": -1}, {"deliver_at": 10**15}, {"deliver_at": "x"}]
)
def test_a_time_that_is_none(later: HttpApi, body: dict[str, Any]) -> None:
    publish(later, "1", HOUR_MS)
    identity = waiting(later)["items"][0]["id"]
    assert later("PUT", f"/delayed/{{v}}/{identity}", body).status == 400
    assert payloads(later) == ["1"]


@pytest.mark.parametrize("identity", ["x", "-1", "9" * 50, "%C2%B2", "1"])
def test_an_id_that_is_none(later: HttpApi, identity: str) -> None:
    assert later("GET", f"/delayed/{{v}}/{identity}").status == 404


def test_permissions_are_those_of_the_exchange(later: HttpApi, manager: HttpApi) -> None:
    user = HttpApi(later.host, later.port, later.vhost, manager.user, manager.password)
    assert user("GET", "/delayed/{v}").status == 401
    rights = {"configure": "", "write": "", "read": "^amq\\.fanout$"}
    assert later("PUT", f"/permissions/{{v}}/{user.user}", rights).status == 201
    publish(later, "hidden", HOUR_MS)
    publish(later, "shown", 2 * HOUR_MS, "amq.fanout")
    hidden, shown = (row["id"] for row in waiting(later)["items"])
    assert payloads(user) == ["shown"]
    assert user("GET", f"/delayed/{{v}}/{hidden}").status == 401
    assert user("DELETE", f"/delayed/{{v}}/{shown}").status == 401
    assert user("PUT", f"/delayed/{{v}}/{shown}", {"deliver_at": 0}).status == 401
    assert payloads(later) == ["hidden", "shown"]
