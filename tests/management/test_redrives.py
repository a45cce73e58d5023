"""Redrives over HTTP: orders, progress, who may (FEATURES N7)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.management.http_api import HttpApi, reason

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.deviates("RabbitMQ has no such paths")
PATH = "/queues/{v}/dead/redrive"


@pytest.fixture
def dead(api: HttpApi, name: str) -> Iterator[HttpApi]:
    """The API with a vhost of its own: two dead letters of the queue "jobs" are in "dead"."""
    assert api("PUT", f"/vhosts/{name}", {}).status == 201
    own = HttpApi(api.host, api.port, name)
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    assert own("PUT", "/queues/{v}/dead", {}).status == 201
    assert own("PUT", "/queues/{v}/jobs", {"arguments": arguments}).status == 201
    own.publish("jobs", "1", headers={"n": 1})
    own.publish("jobs", "2", headers={"n": 2})
    body = {"count": 2, "ackmode": "reject_requeue_false", "encoding": "auto"}
    assert own("POST", "/queues/{v}/jobs/get", body).status == 200
    yield own
    assert api("DELETE", f"/vhosts/{name}").status == 204


def redrive(api: HttpApi, **order: Any) -> Any:
    answer = api("POST", PATH, order)
    assert answer.status == 202, answer
    row = answer.body
    deadline = time.monotonic() + 10
    while row["state"] == "running" and time.monotonic() < deadline:
        row = api.get(f"/redrives/{{v}}/{row['id']}")
    return row


def counts(api: HttpApi) -> tuple[int, int]:
    jobs, dead = (api.get(f"/queues/{{v}}/{name}")["messages"] for name in ("jobs", "dead"))
    return jobs, dead


def test_everything_moves(dead: HttpApi) -> None:
    row = redrive(dead)
    assert row == {
        "id": row["id"],
        "vhost": dead.vhost,
        "queue": "dead",
        "state": "completed",
        "dry_run": False,
        "total": 2,
        "examined": 2,
        "moved": 2,
        "moved_to": {"jobs": 2},
        "stranded": 0,
        "stranded_for": {},
        "waiting": False,
    }
    assert dead.get("/redrives/{v}") == [row]
    assert counts(dead) == (2, 0)


def test_an_order_is_a_filter(dead: HttpApi) -> None:
    chosen = {"reason": "rejected", "origin": "jobs", "headers": {"n": 2}, "newer_than_ms": 60_000}
    assert redrive(dead, dry_run=True, **chosen)["moved"] == 1
    assert counts(dead) == (0, 2)
    assert redrive(dead, count=5, older_than_ms=0, rate=1000, **chosen)["moved"] == 1
    assert counts(dead) == (1, 1)


def test_a_target_may_be_named(dead: HttpApi) -> None:
    assert dead("PUT", "/queues/{v}/other", {}).status == 201
    assert redrive(dead, target="other")["moved_to"] == {"other": 2}


def test_a_redrive_is_cancelled(dead: HttpApi) -> None:
    row = dead("POST", PATH, {"rate": 0.001}).body
    assert reason(dead("POST", PATH)) == (400, "queue 'dead' is being redriven already")
    path = f"/redrives/{{v}}/{row['id']}"
    assert dead("DELETE", path).status == 204
    assert dead.get(path)["state"] == "cancelled"
    assert redrive(dead)["state"] == "completed"


@pytest.mark.parametrize(
    "order",
    [
        {"rate": 0},
        {"count": -1},
        {"older_than_ms": "x"},
        {"dry_run": "perhaps"},
        {"reasons": "rejected"},
        {"headers": {"n": None}},
        {"target": ""},
        {"target": "dead"},
    ],
)
def test_an_order_that_is_none_moves_nothing(dead: HttpApi, order: dict[str, Any]) -> None:
    assert dead("POST", PATH, order).status == 400
    assert counts(dead) == (0, 2)


def test_what_is_not_there(dead: HttpApi) -> None:
    assert dead("POST", "/queues/{v}/none/redrive").status == 404
    assert dead("POST", PATH, {"target": "none"}).status == 404
    for number in ("0", "x", "9" * 30):
        assert dead("GET", f"/redrives/{{v}}/{number}").status == 404
        assert dead("DELETE", f"/redrives/{{v}}/{number}").status == 404


@pytest.mark.parametrize(("write", "read"), [("", ".*"), (".*", "^jobs$")])
def test_who_may_not(dead: HttpApi, manager: HttpApi, write: str, read: str) -> None:
    row = redrive(dead, dry_run=True)
    user = HttpApi(dead.host, dead.port, dead.vhost, manager.user, manager.password)
    assert user("POST", PATH).status == 401
    rights = {"configure": "", "write": write, "read": read}
    assert dead("PUT", f"/permissions/{{v}}/{user.user}", rights).status == 201
    assert user("POST", PATH).status == 401
    assert len(user.get("/redrives/{v}")) == (read == ".*")
    assert user("GET", f"/redrives/{{v}}/{row['id']}").status == (200 if read == ".*" else 401)
    assert counts(dead) == (0, 2)


def test_who_may(dead: HttpApi, manager: HttpApi) -> None:
    user = HttpApi(dead.host, dead.port, dead.vhost, manager.user, manager.password)
    rights = {"configure": "", "write": "^amq.default$", "read": "^dead$"}
    assert dead("PUT", f"/permissions/{{v}}/{user.user}", rights).status == 201
    assert redrive(user)["moved"] == 2
