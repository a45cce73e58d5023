"""Exports in the shapes of RabbitMQ 3.8 to 4.1 import as they are (FEATURES A14.1, A14.2)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.definitions.document import HASH, imported, new_broker

SHA256 = {"hashing_algorithm": "rabbit_password_hashing_sha256"}
PATTERNS = {"configure": ".*", "write": ".*", "read": ".*"}
QUEUE = {"name": "q", "vhost": "v", "durable": True, "auto_delete": False}
EXCHANGE = {"name": "x", "vhost": "v", "type": "topic", "durable": True, "auto_delete": False}
BINDING = {"source": "x", "vhost": "v", "destination": "q", "destination_type": "queue"}
POLICY = {"vhost": "v", "name": "p", "pattern": "^q", "apply-to": "queues", "priority": 0}
LIMITS = {"vhost": "v", "component": "vhost-limits", "name": "limits"}


def export(**differing: Any) -> dict[str, Any]:
    """Return what all versions have in common, changed by what one of them has."""
    return {
        "users": [{"name": "u", "password_hash": HASH, **SHA256, "tags": "administrator"}],
        "vhosts": [{"name": "v"}],
        "permissions": [{"user": "u", "vhost": "v", **PATTERNS}],
        "topic_permissions": [],
        "parameters": [{**LIMITS, "value": {"max-queues": 9}}],
        "global_parameters": [{"name": "cluster_name", "value": "rabbit@host"}],
        "policies": [{**POLICY, "definition": {"max-length": 5}}],
        "queues": [{**QUEUE, "arguments": {"x-queue-type": "classic"}}],
        "exchanges": [{**EXCHANGE, "internal": False, "arguments": {}}],
        "bindings": [{**BINDING, "routing_key": "a.#", "arguments": {}}],
        **differing,
    }


INTERNAL_ID = {"name": "internal_cluster_id", "value": "rabbitmq-cluster-id-x"}
USER = {"name": "u", "password_hash": HASH, **SHA256}
METADATA = {"description": "text", "tags": ["a"]}

EXPORTS = {
    "3.8": export(
        rabbit_version="3.8.9",
        rabbitmq_version="3.8.9",
        product_name="RabbitMQ",
        global_parameters=[INTERNAL_ID, {"name": "cluster_name", "value": "rabbit@host"}],
    ),
    "3.9": export(
        rabbit_version="3.9.13",
        users=[{**USER, "tags": ["administrator"], "limits": {}}],
    ),
    "3.12": export(
        rabbit_version="3.12.14",
        users=[{**USER, "tags": ["administrator"], "limits": {"max-channels": 7}}],
        vhosts=[{"name": "v", "description": "text", "tags": ["a"], "metadata": METADATA,
                 "default_queue_type": "undefined", "limits": []}],
    ),
    "4.1": export(
        rabbit_version="4.1.0",
        rabbitmq_version="4.1.0",
        rabbitmq_definition_format="cluster",
        original_cluster_name="rabbit@host",
        explanation="Definitions of cluster 'rabbit@host'",
        product_version="4.1.0",
        users=[{**USER, "tags": ["administrator"], "limits": {}}],
        vhosts=[{"name": "v", "metadata": {**METADATA, "default_queue_type": "classic"},
                 "limits": []}],
        queues=[{**QUEUE, "type": "classic", "arguments": {"x-queue-type": "classic"}}],
    ),
}  # fmt: skip


@pytest.mark.parametrize("version", EXPORTS)
async def test_an_export_imports_whole(version: str) -> None:
    broker = new_broker()
    plan = await imported(broker, EXPORTS[version])
    assert not any(plan.left_out.values())
    vhost = broker.vhosts["v"]
    assert broker.users.users["u"].tags == ("administrator",)
    assert vhost.limits == {"max-queues": 9}
    assert broker.global_parameters == {"cluster_name": "rabbit@host"}
    assert vhost.queues["q"].is_durable
    assert [binding.binding_key for binding in vhost.exchanges["x"].bindings] == ["a.#"]
    assert vhost.policies.policies["p"].definition == {"max-length": 5}
    assert (await imported(broker, EXPORTS[version])).count == 0
