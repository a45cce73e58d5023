"""Health checks (FEATURES A18.17, A18.18)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from amqpbroker.broker.alarms import Alarms
from amqpbroker.broker.broker import Broker
from amqpbroker.config import Config
from amqpbroker.management.app import create_app
from tests.management.asgi import GUEST, request
from tests.management.http_api import reason

if TYPE_CHECKING:
    from tests.helpers import RunningBroker
    from tests.management.http_api import HttpApi


@pytest.mark.parametrize(
    "check",
    [
        "alarms",
        "local-alarms",
        "virtual-hosts",
        "node-is-quorum-critical",
        "node-is-mirror-sync-critical",
    ],
)
def test_a_healthy_broker(api: HttpApi, check: str) -> None:
    assert api.get(f"/health/checks/{check}")["status"] == "ok"


def test_port_listener(api: HttpApi, broker: RunningBroker) -> None:
    path = "/health/checks/port-listener"
    assert api.get(f"{path}/{broker.port}") == {"status": "ok", "port": broker.port}
    answer = api("GET", f"{path}/1")
    assert (answer.status, answer.body["status"]) == (503, "failed")
    assert (answer.body["missing"], answer.body["reason"]) == (1, "No active listener")
    assert {broker.port, broker.management_port} <= set(answer.body["ports"])
    assert reason(api("GET", f"{path}/x")) == (400, "Invalid port")


def test_protocol_listener(api: HttpApi) -> None:
    path = "/health/checks/protocol-listener"
    assert api.get(f"{path}/amqp091") == {"status": "ok", "protocol": "amqp"}
    assert api.get(f"{path}/http") == {"status": "ok", "protocol": "http"}
    answer = api("GET", f"{path}/mqtt")
    assert (answer.status, answer.body["missing"]) == (503, "mqtt")


def test_aliveness(api: HttpApi) -> None:
    assert api.get("/aliveness-test/{v}") == {"status": "ok"}
    shown = api.get("/queues/{v}")
    assert "aliveness-test" in [item["name"] for item in shown]


@pytest.mark.parametrize(
    ("check", "where"), [("alarms", "in the cluster"), ("local-alarms", "on the node")]
)
async def test_an_alarm(monkeypatch: pytest.MonkeyPatch, check: str, where: str) -> None:
    broker = Broker(Config(is_memory=True))
    broker.add_defaults()
    monkeypatch.setattr(Alarms, "short", ["memory"])
    path = f"/api/health/checks/{check}".encode()
    status, _, body = await request(create_app(broker, []), path, headers=(GUEST,))
    rows = [{"node": broker.config.cluster_name, "resource": "memory"}]
    text = f"There are alarms in effect {where}"
    assert status == 503
    assert json.loads(body) == {"status": "failed", "reason": text, "alarms": rows}
