"""A small definition file, and brokers to import it into."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from amqpbroker.broker.broker import Broker
from amqpbroker.config import Config
from amqpbroker.definitions import import_document

if TYPE_CHECKING:
    from amqpbroker.definitions.plan import Plan

HASH = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"
"""Of the password test12."""


def sample() -> dict[str, Any]:
    """Return one object of each kind, in the vhost v."""
    patterns = {"configure": ".*", "write": "^a", "read": ""}
    user = {"name": "u", "password_hash": HASH, "tags": "administrator, x", "limits": {}}
    algorithm = {"hashing_algorithm": "rabbit_password_hashing_sha256"}
    x = {"name": "x", "vhost": "v", "type": "topic", "durable": True, "auto_delete": False}
    q = {"name": "q", "vhost": "v", "durable": True, "auto_delete": False}
    binding = {"source": "x", "vhost": "v", "destination": "q", "destination_type": "queue"}
    limits = {"vhost": "v", "component": "vhost-limits", "name": "limits"}
    return {
        "rabbit_version": "3.10.8",
        "users": [{**user, **algorithm}],
        "vhosts": [{"name": "v"}],
        "permissions": [{"user": "u", "vhost": "v", **patterns}],
        "topic_permissions": [
            {"user": "u", "vhost": "v", "exchange": "x", "write": "a", "read": "b"}
        ],
        "parameters": [{**limits, "value": {"max-queues": 9}}],
        "global_parameters": [],
        "policies": [],
        "exchanges": [{**x, "internal": False, "arguments": {}}],
        "queues": [{**q, "arguments": {"x-message-ttl": 5000, "y": [1.5, {"z": True}]}}],
        "bindings": [{**binding, "routing_key": "k.#", "arguments": {"a": 1}}],
    }


def encoded(document: object) -> bytes:
    """Return a document as the bytes of a file."""
    return json.dumps(document).encode()


def new_broker(**settings: Any) -> Broker:
    """Return a broker in memory with its default vhost and user."""
    broker = Broker(Config(is_memory=True, **settings))
    broker.add_defaults()
    return broker


async def imported(broker: Broker, document: object, **options: Any) -> Plan:
    """Import a document."""
    return await import_document(broker, encoded(document), source="test", **options)
