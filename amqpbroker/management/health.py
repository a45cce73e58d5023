"""``/health/checks`` and ``/aliveness-test``: 200, or 503 and why (FEATURES A18.17, A18.18)."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from amqpbroker.management.call import Answer, Api, Json
from amqpbroker.management.errors import bad_request
from amqpbroker.management.paths import new_router
from amqpbroker.wire.content import Publication
from amqpbroker.wire.methods import QueueDeclare

if TYPE_CHECKING:
    from amqpbroker.auth.server_certificate import ServerCertificate
    from amqpbroker.management.http_server import Listener

router = new_router()

ALIVENESS_QUEUE: Final = "aliveness-test"
_UNITS_S: Final = {"days": 86_400, "weeks": 604_800, "months": 2_592_000, "years": 31_536_000}
_SAME_PROTOCOL: Final = {
    "amqp091": "amqp",
    "amqp0.9.1": "amqp",
    "amqp/0.9.1": "amqp",
    "amqps": "amqp/ssl",
}


def _ok(**details: Any) -> Json:
    return Json({"status": "ok", **details})


def _failed(**details: Any) -> Json:
    return Json({"status": "failed", **details}, status_code=503)


@router.get("/health/checks/alarms")
async def alarms(call: Api) -> Answer:
    """Check that no alarm blocks publishers anywhere in the cluster."""
    return _alarms(call, "in the cluster")


@router.get("/health/checks/local-alarms")
async def local_alarms(call: Api) -> Answer:
    """Check that no alarm of this node blocks publishers."""
    return _alarms(call, "on the node")


def _alarms(call: Api, where: str) -> Json:
    short = call.broker.alarms.short
    if not short:
        return _ok()
    rows = [{"node": call.node, "resource": resource} for resource in short]
    return _failed(reason=f"There are alarms in effect {where}", alarms=rows)


@router.get("/health/checks/virtual-hosts")
async def virtual_hosts(call: Api) -> Answer:
    """Check that all vhosts run: those that exist do."""
    return _ok()


@router.get("/health/checks/node-is-quorum-critical")
@router.get("/health/checks/node-is-mirror-sync-critical")
async def node_is_critical(call: Api) -> Answer:
    """Check that the cluster can do without this node; alone, there is none to harm."""
    return _ok(reason="single node cluster")


@router.get("/health/checks/port-listener/{port:name}")
async def port_listener(call: Api, port: str) -> Answer:
    """Check that the broker listens on a port."""
    if not (port.isascii() and port.isdigit()):
        raise bad_request("Invalid port")
    ports = [item.port for item in call.listeners]
    if int(port) in ports:
        return _ok(port=int(port))
    return _failed(reason="No active listener", missing=int(port), ports=ports)


@router.get("/health/checks/protocol-listener/{protocol:name}")
async def protocol_listener(call: Api, protocol: str) -> Answer:
    """Check that the broker speaks a protocol."""
    wanted = _SAME_PROTOCOL.get(protocol.lower(), protocol.lower())
    protocols = sorted({item.protocol for item in call.listeners})
    if wanted in protocols:
        return _ok(protocol=wanted)
    return _failed(reason="No active listener", missing=protocol, protocols=protocols)


@router.get("/health/checks/certificate-expiration/{within:name}/{unit:name}")
async def certificate_expiration(call: Api, within: str, unit: str) -> Answer:
    """Check that no certificate of a listener ends within a time (FEATURES A16.4)."""
    if unit not in _UNITS_S:
        units = ", ".join(_UNITS_S)
        raise bad_request(f"Time unit not recognised. Supported units: {units}.")
    try:
        limit = time.time() + int(within) * _UNITS_S[unit]
    except ValueError:
        raise bad_request("Invalid expiration value.") from None
    expired = [
        _with_certificate(call, item, item.certificate)
        for item in call.listeners
        if item.certificate is not None and item.certificate.first_expires_at < limit
    ]
    return _failed(reason="Certificates expiring", expired=expired) if expired else _ok()


def _with_certificate(call: Api, item: Listener, certificate: ServerCertificate) -> dict[str, Any]:
    ends = {"certfile": certificate.expires_at, "cacertfile": certificate.ca_expires_at}
    return {
        "node": call.node,
        "protocol": item.protocol,
        "interface": item.host,
        "port": item.port,
        "certfile": str(certificate.cert),
        "cacertfile": "" if certificate.ca is None else str(certificate.ca),
        **{
            f"{name}_expires_on": datetime.fromtimestamp(end, UTC).isoformat()
            for name, end in ends.items()
            if end is not None
        },
    }


@router.get("/aliveness-test/{vhost:name}")
async def aliveness_test(call: Api, vhost: str) -> Answer:
    """Declare a queue, publish to it and fetch from it, as the caller."""
    found = call.vhost(vhost)
    declare = QueueDeclare(
        0,
        ALIVENESS_QUEUE,
        passive=False,
        durable=False,
        exclusive=False,
        auto_delete=False,
        nowait=False,
        arguments={},
    )
    body = b"test_message"
    with call.direct(found) as session:
        await session.ask(declare)
        await session.publish(Publication.of("", ALIVENESS_QUEUE, {}, len(body)), body)
        queue = found.queue(ALIVENESS_QUEUE, session)
        fetched = [body async for _, body in session.take(queue, 1)]
        session.settle("ack")
    return _ok() if fetched else _failed(reason="the message did not come back")
