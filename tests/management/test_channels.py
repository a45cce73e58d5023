"""Channels over HTTP (FEATURES A18.15)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pamqp import commands

from tests.management.http_api import quote

if TYPE_CHECKING:
    from tests.management.conftest import Connected
    from tests.management.http_api import HttpApi

pytestmark = pytest.mark.deviates("RabbitMQ shows channels up to five seconds later")


def test_a_channel_is_shown(api: HttpApi, connected: Connected, queue: str) -> None:
    client, connection = connected
    client.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
    client.call(commands.Basic.Qos(prefetch_count=3), commands.Basic.QosOk)
    tag = client.consume(queue)
    (shown,) = api.get(f"/connections/{quote(connection)}/channels")
    expected = {
        "name": f"{connection} (1)",
        "number": 1,
        "user": "guest",
        "vhost": api.vhost,
        "confirm": True,
        "transactional": False,
        "prefetch_count": 3,
        "consumer_count": 1,
        "messages_unacknowledged": 0,
    }
    assert {key: shown[key] for key in expected} == expected
    assert shown in api.get("/channels")
    assert shown in api.get("/vhosts/{v}/channels")
    alone = api.get(f"/channels/{quote(shown['name'])}")
    assert [item["consumer_tag"] for item in alone["consumer_details"]] == [tag]


def test_what_is_not_there_is_404(api: HttpApi, name: str, connected: Connected) -> None:
    assert api("GET", f"/channels/{name}").status == 404
    assert api("GET", f"/channels/{quote(connected.connection)}%20(99)").status == 404
