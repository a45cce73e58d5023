"""Limits of vhosts and users, set over HTTP and felt over AMQP (A8.11, A15.10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pamqp import commands

from tests.management.http_api import HttpApi, reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.features.conftest import Connect
    from tests.raw_client import RawClient


@pytest.fixture
def vhost(api: HttpApi, name: str) -> Iterator[str]:
    """A vhost of its own."""
    assert api("PUT", f"/vhosts/{name}", {}).status == 201
    everything = dict.fromkeys(("configure", "write", "read"), ".*")
    api("PUT", f"/permissions/{name}/guest", everything)
    yield name
    api("DELETE", f"/vhosts/{name}")


def enter(dial: Connect, vhost: str, user: str = "guest") -> RawClient:
    """Go as far as connection.open."""
    client = dial()
    client.login(user)
    client.tune_ok()
    client.send_command(commands.Connection.Open(vhost), 0)
    return client


def test_a_limit_of_a_vhost_comes_and_goes(api: HttpApi, vhost: str) -> None:
    assert api.get(f"/vhost-limits/{vhost}") == []
    assert api("PUT", f"/vhost-limits/{vhost}/max-queues", {"value": 3}).status == 204
    entry = {"vhost": vhost, "value": {"max-queues": 3}}
    assert api.get(f"/vhost-limits/{vhost}") == [entry]
    assert entry in api.get("/vhost-limits")
    assert api("DELETE", f"/vhost-limits/{vhost}/max-queues").status == 204
    assert api.get(f"/vhost-limits/{vhost}") == []
    assert api("PUT", "/vhost-limits/nowhere/max-queues", {"value": 1}).status == 404
    assert reason(api("PUT", f"/vhost-limits/{vhost}/max-fun", {"value": 1}))[0] == 400


def test_a_vhost_takes_no_more_connections_than_it_may(
    api: HttpApi, dial: Connect, vhost: str
) -> None:
    api("PUT", f"/vhost-limits/{vhost}/max-connections", {"value": 1})
    first = enter(dial, vhost)
    first.read(commands.Connection.OpenOk, 0)
    text = (
        f"NOT_ALLOWED - access to vhost '{vhost}' refused for user 'guest': "
        "connection limit (1) is reached"
    )
    enter(dial, vhost).expect_connection_error(530, text, (10, 40))
    first.close_connection()
    api("PUT", f"/vhost-limits/{vhost}/max-connections", {"value": -1})
    enter(dial, vhost).read(commands.Connection.OpenOk, 0)


def test_a_user_opens_no_more_than_it_may(api: HttpApi, dial: Connect, vhost: str) -> None:
    user = f"user-{vhost}"
    api("PUT", f"/users/{user}", {"password": user, "tags": ""})
    everything = dict.fromkeys(("configure", "write", "read"), ".*")
    api("PUT", f"/permissions/{vhost}/{user}", everything)
    api("PUT", f"/user-limits/{user}/max-connections", {"value": 1})
    api("PUT", f"/user-limits/{user}/max-channels", {"value": 1})
    limits = {"max-connections": 1, "max-channels": 1}
    assert api.get(f"/user-limits/{user}") == [{"user": user, "value": limits}]
    client = enter(dial, vhost, user)
    client.read(commands.Connection.OpenOk, 0)
    text = (
        f"NOT_ALLOWED - connection refused for user '{user}': user connection limit (1) is reached"
    )
    enter(dial, vhost, user).expect_connection_error(530, text, (10, 40))
    client.open_channel(1)
    client.send_command(commands.Channel.Open(), 2)
    text = (
        f"NOT_ALLOWED - number of channels opened for user '{user}' has reached "
        "the maximum allowed user limit of (1)"
    )
    client.expect_connection_error(530, text, (20, 10))
    for limit in limits:
        assert api("DELETE", f"/user-limits/{user}/{limit}").status == 204
    assert api.get(f"/user-limits/{user}") == []
    api("DELETE", f"/users/{user}")
