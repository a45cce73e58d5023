"""A user of one vhost hears nothing of another: no names, no counts, nothing by guessing (A16)."""

from __future__ import annotations

import json
import re
import uuid
from typing import TYPE_CHECKING, Final

import pytest
from pamqp import commands

from amqpbroker.management.app import RESOURCES
from tests.raw_client import RawClient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.helpers import RunningBroker
    from tests.management.http_api import HttpApi

pytestmark = pytest.mark.deviates("the list of paths is ours")

PATHS: Final = sorted(
    route.path
    for resource in RESOURCES
    for route in resource.router.routes
    if "GET" in route.methods
)
CHANGES: Final = sorted(
    (method, route.path)
    for resource in RESOURCES
    for route in resource.router.routes
    for method in route.methods
    if method in ("PUT", "POST", "DELETE")
)
HARMLESS: Final = ("/connections/username/{username:name}", "/global-parameters/{name:name}")
"""The first closes the connections that one may see, here none. The others are of no vhost, and
nothing comes of them; policymakers set them, as on RabbitMQ."""
OF_THE_NODE: Final = re.compile(r"/health/|/nodes\b")
"""What is said of the node as a whole; some repeat what they are asked."""


@pytest.fixture
def hidden(api: HttpApi, broker: RunningBroker) -> Iterator[str]:
    """A vhost in which everything has its name, with a connection that consumes."""
    hidden = f"hidden-{uuid.uuid4().hex[:8]}"
    assert api("PUT", f"/vhosts/{hidden}").status == 201
    for path, body in (
        (f"/queues/{hidden}/{hidden}", {"durable": True}),
        (f"/exchanges/{hidden}/{hidden}", {"type": "topic"}),
        (f"/policies/{hidden}/{hidden}", {"pattern": hidden, "definition": {"max-length": 9}}),
        (f"/vhost-limits/{hidden}/max-queues", {"value": 9}),
        (f"/users/{hidden}", {"password": hidden, "tags": ""}),
        (f"/permissions/{hidden}/{hidden}", {"configure": hidden, "write": "", "read": ""}),
    ):
        assert api("PUT", path, body).status in (201, 204)
    binding = {"routing_key": hidden, "arguments": {}}
    assert api("POST", f"/bindings/{hidden}/e/{hidden}/q/{hidden}", binding).status == 201
    client = RawClient(broker)
    client.login()
    client.tune_ok()
    client.send_command(commands.Connection.Open(hidden), 0)
    client.read(commands.Connection.OpenOk, 0)
    client.open_channel()
    client.publish(hidden, b"x")
    client.consume(hidden)
    yield hidden
    client.abort()
    for path in (f"/users/{hidden}", f"/vhosts/{hidden}"):
        assert api("DELETE", path).status == 204


@pytest.fixture
def tenant(api: HttpApi, manager: HttpApi, name: str) -> Iterator[HttpApi]:
    """A user with all tags but those of the whole node, who may do everything in its own vhost."""
    assert api("PUT", f"/users/u-{name}", {"password": "p", "tags": "policymaker"}).status == 204
    assert api("PUT", f"/vhosts/{name}").status == 201
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    assert api("PUT", f"/permissions/{name}/u-{name}", everything).status == 201
    yield manager
    assert api("DELETE", f"/vhosts/{name}").status == 204


def test_no_list_and_no_path_tells_of_another_vhost(tenant: HttpApi, hidden: str) -> None:
    seen = []
    for path in PATHS:
        answer = tenant("GET", re.sub(r"\{[^}]*\}", hidden, path))
        if OF_THE_NODE.match(path):
            continue
        if "{" in path:
            assert answer.status in (401, 404) or not answer.body, path
        else:
            assert hidden not in json.dumps(answer.body, default=repr), path
            seen.append(answer.status)
    assert seen.count(200) > 10


def test_totals_are_of_what_one_may_see(tenant: HttpApi, request: pytest.FixtureRequest) -> None:
    before = tenant.get("/overview")
    request.getfixturevalue("hidden")
    after = tenant.get("/overview")
    for part in ("object_totals", "queue_totals"):
        assert after.get(part) == before.get(part)


def test_nothing_is_done_in_another_vhost(api: HttpApi, tenant: HttpApi, hidden: str) -> None:
    everything = api.get("/definitions")
    changes = [(method, path) for method, path in CHANGES if path not in HARMLESS]
    assert len(changes) > 30
    for method, path in changes:
        status = tenant(method, re.sub(r"\{[^}]*\}", hidden, path), {"value": 1}).status
        assert status in (400, 401, 403, 404), f"{method} {path}: {status}"
    assert api.get("/definitions") == everything


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/vhost-limits/{h}/max-queues"),
        ("DELETE", "/vhost-limits/{h}/max-queues"),
        ("PUT", "/parameters/vhost-limits/{h}/limits"),
        ("DELETE", "/parameters/vhost-limits/{h}/limits"),
        ("PUT", "/parameters/operator_policy/{h}/p"),
        ("PUT", "/queues/{h}/new"),
        ("DELETE", "/queues/{h}/{h}"),
        ("PUT", "/policies/{h}/new"),
        ("POST", "/definitions/{h}"),
    ],
)
def test_it_is_for_the_others_that_it_is_refused(
    tenant: HttpApi, hidden: str, method: str, path: str
) -> None:
    body = {"value": {"max-queues": 1}} if "parameters" in path else {"value": 1}
    assert tenant(method, path.replace("{h}", hidden), body).status == 401


def test_nobody_lifts_the_limits_of_its_own_vhost(tenant: HttpApi, name: str) -> None:
    path = f"/vhost-limits/{name}/max-queues"
    assert tenant("PUT", path, {"value": -1}).status == 401
    assert tenant("DELETE", path).status == 401
    assert tenant.get(f"/vhost-limits/{name}") == []
