"""``/definitions``: everything that is declared, as one document (FEATURES A18.16, A14).

An export names all that an import can bring back; limits of vhosts and
operator policies are parameters, as on RabbitMQ.
"""

from __future__ import annotations

import logging
from email import message_from_bytes
from typing import TYPE_CHECKING, Any

from anyio import to_thread

from amqpbroker.auth.passwords import RABBIT_DIGESTS
from amqpbroker.auth.principal import ADMINISTRATOR, POLICYMAKER
from amqpbroker.broker.names import RESERVED_PREFIX
from amqpbroker.broker.policies import OPERATOR_POLICY
from amqpbroker.broker.quotas import divided
from amqpbroker.definitions import DefinitionsError, import_document
from amqpbroker.management import bindings, policies, users
from amqpbroker.management.call import Answer, Api, Json, done
from amqpbroker.management.errors import bad_request, internal_error
from amqpbroker.management.paths import new_router
from amqpbroker.management.values import to_json
from amqpbroker.management.vhosts import described
from amqpbroker.storage.catalog import CatalogError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from amqpbroker.auth.principal import User
    from amqpbroker.auth.users import UserStore
    from amqpbroker.broker.vhost import VHost

logger = logging.getLogger("amqpbroker.management")
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


def policy_definitions(vhost: VHost) -> Iterator[dict[str, Any]]:
    """Yield the policies of a vhost, which RabbitMQ names in the document of one vhost, too."""
    for policy in vhost.policies.policies.values():
        yield policies.describe(vhost, policy)


def parameter_definitions(vhost: VHost) -> Iterator[dict[str, Any]]:
    """Yield the limits of a vhost, if it has any, and its operator policies."""
    limits, _ = divided(vhost.limits)
    if limits:
        yield {
            "vhost": vhost.name,  # RabbitMQ says so in the document of one vhost, too
            "component": "vhost-limits",
            "name": "limits",
            "value": limits,
        }
    for policy in vhost.policies.operator_policies.values():
        yield {
            "vhost": vhost.name,
            "component": OPERATOR_POLICY,
            "name": policy.name,
            "value": policy.to_json(),
        }


def _definitions(vhost: VHost) -> dict[str, list[dict[str, Any]]]:
    return {
        "parameters": list(parameter_definitions(vhost)),
        "policies": list(policy_definitions(vhost)),
        "queues": list(queue_definitions(vhost)),
        "exchanges": list(exchange_definitions(vhost)),
        "bindings": list(binding_definitions(vhost)),
    }


def user_definition(user: User) -> dict[str, Any]:
    """Return a user; one whose hash RabbitMQ refuses, and with it the whole file, is marked."""
    row = users.describe(user)
    row["limits"], rates = divided(user.limits)
    if rates:
        row["publish_limits"] = rates
    if user.password_hash and user.hashing_algorithm not in RABBIT_DIGESTS:
        row["rabbitmq_can_import"] = False
    return row


def vhost_definition(vhost: VHost) -> dict[str, Any]:
    """Return a vhost; rates in a key of their own, for RabbitMQ refuses limits that it lacks."""
    rates = divided(vhost.limits)[1]
    return described(vhost) | ({"publish_limits": rates} if rates else {})


def _accounts(store: UserStore) -> dict[str, list[dict[str, Any]]]:
    return {
        "users": [user_definition(user) for user in store.users.values()],
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
    kinds = ("parameters", "policies", "queues", "exchanges", "bindings")
    rows: dict[str, list[dict[str, Any]]] = {kind: [] for kind in kinds}
    for name, vhost in vhosts.items():
        for kind, definitions in _definitions(vhost).items():
            rows[kind] += [{"vhost": name, **row} for row in definitions]
    document = {
        "rabbit_version": config.version,
        "rabbitmq_version": config.version,
        "product_name": config.product,
        "product_version": config.version,
        **_accounts(call.broker.users),
        "vhosts": [vhost_definition(vhost) for vhost in vhosts.values()],
        "global_parameters": [
            {"name": name, "value": value}
            for name, value in call.broker.global_parameters.items()
            if not name.startswith("internal_")
        ],
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
        **_definitions(vhost),
    }
    return _document(call, document)


@router.post("/definitions")
async def import_all(call: Api) -> Answer:
    """Import a document: what it names is added, users and permissions are replaced."""
    call.require(ADMINISTRATOR)
    return await _import(call, None)


@router.post("/definitions/{name:name}")
async def import_one(call: Api, name: str) -> Answer:
    """Import queues, exchanges and bindings into a vhost.

    That takes an administrator, because no permission of AMQP is asked; an export does not.
    """
    call.require(ADMINISTRATOR)
    if name not in call.broker.vhosts:
        raise bad_request("vhost_not_found")
    return await _import(call, name)


async def _import(call: Api, vhost: str | None) -> Answer:
    data = await call.raw_body()
    content_type = call.request.headers.get("content-type", "")
    if content_type.lower().startswith("multipart/form-data"):
        data = await to_thread.run_sync(_uploaded, content_type, data)
    source = f"definitions of user '{call.principal.username}'"
    try:
        await import_document(call.broker, data, source=source, vhost=vhost)
    except DefinitionsError as error:
        raise bad_request(str(error)) from None
    except CatalogError as error:
        logger.error("%s: nothing was imported: %s", source, error)
        raise internal_error(f"nothing was imported: {error}") from None
    return done()


def _uploaded(content_type: str, body: bytes) -> bytes:
    """Return the part named ``file`` of a form, as a browser sends it."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1")
    for part in message_from_bytes(head + body).walk():
        if part.get_param("name", header="content-disposition") == "file":
            content = part.get_payload(decode=True)
            if isinstance(content, bytes):
                return content
    raise bad_request("expected a part named file, found none")


def _document(call: Api, document: dict[str, Any]) -> Json:
    """Answer with a document; ``download=NAME`` has a browser save it under that name."""
    name = call.request.query_params.get("download")
    if not name:
        return Json(document)
    safe = "".join(char for char in name if char.isascii() and char.isprintable() and char != '"')
    return Json(document, headers={"content-disposition": f'attachment; filename="{safe}"'})
