"""``/overview``, ``/whoami`` and other facts about the whole (FEATURES A18.1, A18.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amqpbroker.auth.principal import MONITORING
from amqpbroker.management.call import Answer, Api, Json
from amqpbroker.management.paths import new_router
from amqpbroker.routing.registry import TYPE_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from amqpbroker.broker.vhost import VHost

router = new_router()


def exchange_types() -> list[dict[str, Any]]:
    """Return the exchange types as the API shows them."""
    return [
        {"name": name, "description": f"{name} exchange", "enabled": True} for name in TYPE_NAMES
    ]


def message_totals(vhosts: Iterable[VHost]) -> dict[str, int]:
    """Return the messages in all queues of some vhosts."""
    ready = unsettled = waiting = 0
    for vhost in vhosts:
        for queue in vhost.queues.values():
            ready += len(queue.ready)
            if queue.retries is not None:
                waiting += len(queue.retries)
            if queue.type != "stream":  # what is on loan is still there
                unsettled += queue.unsettled_count
    return {
        "messages": ready + unsettled + waiting,
        "messages_ready": ready,
        "messages_unacknowledged": unsettled,
    }


def _object_totals(call: Api, vhosts: list[VHost]) -> dict[str, int]:
    sessions = call.sessions()
    queues = [queue for vhost in vhosts for queue in vhost.queues.values()]
    return {
        "channels": sum(len(session.channels) for session in sessions),
        "connections": len(sessions),
        "consumers": sum(len(queue.consumers) for queue in queues),
        "exchanges": sum(len(vhost.exchanges) for vhost in vhosts),
        "queues": len(queues),
    }


def listeners(call: Api) -> list[dict[str, Any]]:
    """Return the listeners as the API shows them."""
    return [
        {
            "node": call.node,
            "protocol": item.protocol,
            "ip_address": item.host,
            "port": item.port,
            "socket_opts": [],
        }
        for item in call.listeners
    ]


def contexts(call: Api) -> list[dict[str, Any]]:
    """Return where the API itself is served."""
    return [
        {
            "node": call.node,
            "description": "RabbitMQ Management",
            "path": "/",
            "ip": item.host,
            "port": str(item.port),
        }
        for item in call.listeners
        if item.protocol == "http"
    ]


@router.get("/overview")
async def overview(call: Api) -> Answer:
    """Tell what this broker is and how much it holds."""
    config = call.broker.config
    sees_all = call.principal.has_tag(MONITORING)
    vhosts = list(call.broker.vhosts.values()) if sees_all else call.vhosts()
    shown: dict[str, Any] = {
        "management_version": config.version,
        "rates_mode": "none",
        "exchange_types": exchange_types(),
        "product_version": config.version,
        "product_name": config.product,
        "rabbitmq_version": config.version,
        "cluster_name": config.cluster_name,
        "disable_stats": False,
        "enable_queue_totals": True,
        "message_stats": {},
        "queue_totals": message_totals(vhosts),
        "object_totals": _object_totals(call, vhosts),
        "statistics_db_event_queue": 0,
        "node": call.node,
    }
    if sees_all:
        shown |= {"listeners": listeners(call), "contexts": contexts(call)}
        journal = call.broker.journal
        if journal is not None:
            shown["body_memory"] = journal.pager.statistics()
    return Json(shown)


@router.get("/whoami")
async def whoami(call: Api) -> Answer:
    """Tell who is asking."""
    return Json({"name": call.principal.username, "tags": list(call.principal.tags)})


@router.get("/cluster-name")
async def cluster_name(call: Api) -> Answer:
    """Tell the name of the cluster."""
    return Json({"name": call.broker.config.cluster_name})


@router.get("/extensions")
async def extensions(call: Api) -> Answer:
    """Tell of additions to the user interface: there are none."""
    return Json([])


@router.get("/feature-flags")
async def feature_flags(call: Api) -> Answer:
    """Tell of feature flags: there are none, all that is here is on."""
    call.require(MONITORING)
    return Json([])
