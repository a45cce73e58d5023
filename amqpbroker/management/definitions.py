"""``/definitions``: everything that is declared, as one document (FEATURES A18.16, A14)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amqpbroker.auth.principal import ADMINISTRATOR, POLICYMAKER
from amqpbroker.broker.names import RESERVED_PREFIX
from amqpbroker.management import bindings, users
from amqpbroker.management.call import Answer, Api, Json
from amqpbroker.management.errors import bad_request
from amqpbroker.management.paths import new_router
from amqpbroker.management.values import to_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from amqpbroker.auth.users import UserStore
    from amqpbroker.broker.vhost import VHost

router = new_router()


def queue_definitions(vhost: VHost) -> Iterator[dict[str, Any]]:
    """Yield the queues of a vhost; exclusive ones end with their connections, so they do not."""
    for queue in vhost.queues.values():
        if queue.owner is None:
            yield {
                "name": queue.name,
                "durable": queue.is_durable,
                "auto_delete": queue.is_auto_delete,
                "arguments": to_json(queue.arguments),
            }


def exchange_definitions(vhost: VHost) -> Iterator[dict[str, Any]]:
    """Yield the exchanges of a vhost that it was not born with."""
    for exchange in vhost.exchanges.values():
        if exchange.name and not exchange.name.startswith(RESERVED_PREFIX):
            yield {
                "name": exchange.name,
                "type": exchange.type_name,
                "durable": exchange.is_durable,
                "auto_delete": exchange.is_auto_delete,
                "internal": exchange.is_internal,
                "arguments": to_json(exchange.arguments),
            }


def binding_definitions(vhost: VHost) -> Iterator[dict[str, Any]]:
    """Yield the bindings of a vhost, but neither implicit ones nor those of exclusive queues."""
    for exchange in vhost.exchanges.values():
        for binding in exchange.bindings:
            kind, name = binding.destination
            if kind == "queue" and vhost.queues[name].owner is not None:
                continue
            row = bindings.describe((vhost, binding))
            yield {key: row[key] for key in row if key not in ("vhost", "properties_key")}


def _definitions(vhost: VHost) -> dict[str, list[dict[str, Any]]]:
    return {
        "queues": list(queue_definitions(vhost)),
        "exchanges": list(exchange_definitions(vhost)),
        "bindings": list(binding_definitions(vhost)),
    }


def _accounts(store: UserStore) -> dict[str, list[dict[str, Any]]]:
    return {
        "users": [users.describe(user) for user in store.users.values()],
        "permissions": [
            {"user": user, "vhost": vhost, **patterns._asdict()}
            for (user, vhost), patterns in store.permissions.items()
        ],
        "topic_permissions": [
            {"user": user, "vhost": vhost, "exchange": exchange, **patterns._asdict()}
            for (user, vhost, exchange), patterns in store.topic_permissions.items()
        ],
    }


@router.get("/definitions")
async def export_all(call: Api) -> Answer:
    """Export users, vhosts, permissions, queues, exchanges and bindings."""
    call.require(ADMINISTRATOR)
    config = call.broker.config
    vhosts = call.broker.vhosts
    rows: dict[str, list[dict[str, Any]]] = {"queues": [], "exchanges": [], "bindings": []}
    for name, vhost in vhosts.items():
        for kind, definitions in _definitions(vhost).items():
            rows[kind] += [{"vhost": name, **row} for row in definitions]
    document = {
        "rabbit_version": config.version,
        "rabbitmq_version": config.version,
        "product_name": config.product,
        "product_version": config.version,
        **_accounts(call.broker.users),
        "vhosts": [{"name": name} for name in vhosts],
        "parameters": [],
        "global_parameters": [],
        "policies": [],
        **rows,
    }
    return _document(call, document)


@router.get("/definitions/{name:name}")
async def export_one(call: Api, name: str) -> Answer:
    """Export the queues, exchanges and bindings of a vhost."""
    call.require(POLICYMAKER)
    if name not in call.broker.vhosts:
        raise bad_request("vhost_not_found")
    vhost = call.vhost(name)
    version = call.broker.config.version
    document = {
        "rabbit_version": version,
        "parameters": [],
        "policies": [],
        **_definitions(vhost),
    }
    return _document(call, document)


def _document(call: Api, document: dict[str, Any]) -> Json:
    """Answer with a document; ``download=NAME`` has a browser save it under that name."""
    name = call.request.query_params.get("download")
    if not name:
        return Json(document)
    safe = "".join(char for char in name if char.isascii() and char.isprintable() and char != '"')
    return Json(document, headers={"content-disposition": f'attachment; filename="{safe}"'})
