"""Connections over HTTP (FEATURES A18.15)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpbroker.management.connections import addresses
from tests.management.http_api import quote

if TYPE_CHECKING:
    from tests.helpers import RunningBroker
    from tests.management.conftest import Connected
    from tests.management.http_api import HttpApi

pytestmark = pytest.mark.deviates("RabbitMQ shows connections up to five seconds later")


def test_a_connection_is_shown(api: HttpApi, connected: Connected, broker: RunningBroker) -> None:
    shown = api.get(f"/connections/{quote(connected.connection)}")
    expected = {
        "name": f"127.0.0.1:{shown['peer_port']} -> {broker.host}:{broker.port}",
        "port": broker.port,
        "user": "guest",
        "vhost": api.vhost,
        "state": "running",
        "channels": 1,
        "protocol": "AMQP 0-9-1",
        "auth_mechanism": "PLAIN",
        "ssl": False,
        "peer_host": "127.0.0.1",
    }
    assert {key: shown[key] for key in expected} == expected
    assert shown in api.get("/connections")
    assert shown in api.get("/vhosts/{v}/connections")
    assert shown in api.get("/connections/username/guest")


def test_closing_tells_the_client_why(api: HttpApi, connected: Connected) -> None:
    path = f"/connections/{quote(connected.connection)}"
    assert api("DELETE", path, X_Reason="tired of it").status == 204
    connected.client.expect_connection_error(320, "CONNECTION_FORCED - tired of it")


def test_closing_without_a_reason(api: HttpApi, connected: Connected) -> None:
    assert api("DELETE", f"/connections/{quote(connected.connection)}").status == 204
    text = "CONNECTION_FORCED - Closed via management plugin"
    connected.client.expect_connection_error(320, text)


def test_what_is_not_there_is_404(api: HttpApi, name: str) -> None:
    assert api("GET", f"/connections/{name}").status == 404
    assert api("DELETE", f"/connections/{name}").status == 404


def test_a_connection_that_is_gone_is_not_shown(api: HttpApi, connected: Connected) -> None:
    connected.client.close_connection()
    assert connected.connection not in [item["name"] for item in api.get("/connections")]


def test_others_see_their_own_connections_only(
    api: HttpApi, manager: HttpApi, connected: Connected
) -> None:
    assert manager.get("/connections") == []
    name = quote(connected.connection)
    assert manager("GET", f"/connections/{name}").status == 401
    assert manager("DELETE", f"/connections/{name}").status == 401
    assert manager("DELETE", "/connections/username/guest").status == 204
    assert api("GET", f"/connections/{name}").status == 200


def test_addresses_that_are_none() -> None:
    assert addresses("somewhere -> here") == {"peer_host": "", "peer_port": 0}
