"""Health checks (FEATURES A18.17, A18.18)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import trustme

from amqpbroker.auth.server_certificate import ServerCertificate
from amqpbroker.broker.alarms import Alarms
from amqpbroker.broker.broker import Broker
from amqpbroker.config import Config
from amqpbroker.management.app import create_app
from amqpbroker.management.http_server import Listener
from tests.management.asgi import GUEST, request
from tests.management.http_api import reason

if TYPE_CHECKING:
    from pathlib import Path

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


@pytest.mark.parametrize(
    ("within", "unit", "text"),
    [
        ("1", "eons", "Time unit not recognised. Supported units: days, weeks, months, years."),
        ("soon", "days", "Invalid expiration value."),
    ],
)
def test_certificates_within_no_time_at_all(
    api: HttpApi, within: str, unit: str, text: str
) -> None:
    # A16.4, the words are RabbitMQ's.
    answer = api("GET", f"/health/checks/certificate-expiration/{within}/{unit}")
    assert reason(answer) == (400, text)


def test_without_tls_no_certificate_ends(api: HttpApi) -> None:
    assert api.get("/health/checks/certificate-expiration/99/years") == {"status": "ok"}


@pytest.mark.parametrize(("within", "is_ending"), [("9/days", False), ("11/days", True)])
async def test_a_certificate_that_ends_soon(tmp_path: Path, within: str, is_ending: bool) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    end = datetime.now(UTC) + timedelta(days=10)
    issued = trustme.CA().issue_cert("localhost", not_after=end)
    issued.cert_chain_pems[0].write_to_path(cert)
    issued.private_key_pem.write_to_path(key)
    broker = Broker(Config(is_memory=True))
    broker.add_defaults()
    listeners = [
        Listener("amqp", "127.0.0.1", 5672),
        Listener("amqp/ssl", "127.0.0.1", 5671, ServerCertificate(cert, key, None)),
    ]
    path = f"/api/health/checks/certificate-expiration/{within}".encode()
    status, _, body = await request(create_app(broker, listeners), path, headers=(GUEST,))
    if not is_ending:
        assert (status, json.loads(body)) == (200, {"status": "ok"})
        return
    (row,) = json.loads(body)["expired"]
    assert (status, json.loads(body)["reason"]) == (503, "Certificates expiring")
    assert (row["port"], row["certfile"], row["cacertfile"]) == (5671, str(cert), "")
    assert row["certfile_expires_on"] == end.replace(microsecond=0).isoformat()
