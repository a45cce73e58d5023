"""Definition files: any bytes are imported, once more without an effect, or refused whole."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any, Final

from amqpbroker.broker.broker import Broker
from amqpbroker.config import Config
from amqpbroker.definitions import DefinitionsError
from amqpbroker.definitions.checking import check as check_document
from amqpbroker.definitions.importing import apply_plan
from amqpbroker.definitions.reading import read_document

if TYPE_CHECKING:
    from amqpbroker.definitions.plan import Plan

CONFIG: Final = Config(is_memory=True)
_HASH: Final = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"
_PATTERNS: Final = {"configure": ".*", "write": "^a", "read": ""}
_BINDING: Final = {"source": "x", "vhost": "/", "destination": "q", "destination_type": "queue"}
_POLICY: Final = {"pattern": "^q", "apply-to": "queues", "priority": 1}
_DOCUMENT: Final[dict[str, Any]] = {
    "vhosts": [{"name": "v", "limits": {"max-queues": 5}, "metadata": {"tags": ["t"]}}],
    "users": [{"name": "u", "password_hash": _HASH, "tags": "administrator", "limits": {}}],
    "permissions": [{"user": "guest", "vhost": "/", **_PATTERNS}],
    "topic_permissions": [
        {"user": "guest", "vhost": "/", "exchange": "x", "write": "a", "read": "b"}
    ],
    "parameters": [
        {"vhost": "/", "component": "vhost-limits", "name": "limits", "value": {"max-queues": 9}}
    ],
    "global_parameters": [{"name": "cluster_name", "value": "c"}],
    "policies": [{"vhost": "/", "name": "p", "definition": {"max-length": 5}, **_POLICY}],
    "exchanges": [
        {"name": "x", "vhost": "/", "type": "topic", "durable": True, "auto_delete": False,
         "internal": False, "arguments": {"alternate-exchange": "amq.fanout"}}
    ],
    "queues": [
        {"name": "q", "vhost": "/", "durable": True, "auto_delete": False,
         "arguments": {"x-message-ttl": 5000, "y": [1.5, {"z": True}]}}
    ],
    "bindings": [{**_BINDING, "routing_key": "k.#", "arguments": {"a": 1}}],
}  # fmt: skip
SEEDS: Final = [json.dumps(_DOCUMENT).encode()] + [
    json.dumps({key: items}).encode() for key, items in _DOCUMENT.items()
]


def check(data: bytes) -> None:
    """Import a file twice, or have it refused and nothing changed."""
    logging.disable()
    asyncio.run(_check(data))


async def _check(data: bytes) -> None:
    broker = Broker(CONFIG)
    broker.add_defaults()
    before = _census(broker)
    try:
        await _import(broker, data)
    except DefinitionsError:
        assert _census(broker) == before, "a refused file has changed something"
        return
    after = _census(broker)
    plan = await _import(broker, data)
    assert _census(broker) == after, f"the second import has changed something: {plan}"


async def _import(broker: Broker, data: bytes) -> Plan:
    plan = await check_document(broker, read_document(data))
    await apply_plan(broker, plan)
    return plan


def _census(broker: Broker) -> tuple[object, ...]:
    users = broker.users
    return (
        dict(users.users),
        dict(users.permissions),
        dict(users.topic_permissions),
        dict(broker.global_parameters),
        {
            name: (
                set(vhost.exchanges),
                set(vhost.queues),
                {binding for x in vhost.exchanges.values() for binding in x.bindings},
                dict(vhost.limits),
                vhost.metadata,
                dict(vhost.policies.policies),
                dict(vhost.policies.operator_policies),
            )
            for name, vhost in broker.vhosts.items()
        },
    )
