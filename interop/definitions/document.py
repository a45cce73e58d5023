"""What is declared: something of everything that a definition file can hold."""

from __future__ import annotations

from typing import Any, Final

NAME_KEYS: Final = ("name", "user", "vhost")
LISTS: Final = (
    "users", "vhosts", "permissions", "topic_permissions", "parameters", "policies", "exchanges",
    "queues", "bindings",
)  # fmt: skip
IGNORED: Final = frozenset({"description", "tags", "default_queue_type", "tracing"})
"""Keys of a vhost that stand in its metadata, too, or that only one side writes."""

SHA256: Final = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"


def sample(prefix: str) -> dict[str, Any]:
    """Return definitions whose names all begin with ``prefix``."""
    vhost = {"vhost": prefix}
    policy = {"pattern": "^q", "apply-to": "queues", "priority": 3}
    everything = {"configure": ".*", "write": "^q", "read": ""}
    operator_policy = {**policy, "apply-to": "all", "definition": {"max-length": 100}}
    return {
        "vhosts": [{"name": prefix, "metadata": {"description": "d", "tags": ["a", "b"]}}],
        "users": [
            {"name": f"{prefix}-u", "password_hash": SHA256, "tags": ["administrator", "own"],
             "hashing_algorithm": "rabbit_password_hashing_sha256"},
            {"name": f"{prefix}-x", "password_hash": "", "tags": [],
             "hashing_algorithm": "rabbit_password_hashing_sha512",
             "limits": {"max-connections": 5}},
        ],
        "permissions": [{**vhost, "user": f"{prefix}-u", **everything}],
        "topic_permissions": [
            {**vhost, "user": f"{prefix}-u", "exchange": "x-topic", "write": "^a", "read": ".*"}
        ],
        "parameters": [
            {**vhost, "component": "vhost-limits", "name": "limits", "value": {"max-queues": 99}},
            {**vhost, "component": "operator_policy", "name": "o", "value": operator_policy},
        ],
        "policies": [
            {**vhost, "name": "p", **policy, "definition": {"max-length": 9, "expires": 5000}}
        ],
        **topology(vhost),
    }  # fmt: skip


def topology(vhost: dict[str, str]) -> dict[str, Any]:
    """Return exchanges of all types, queues with many arguments, and bindings of both kinds."""
    types = ("direct", "fanout", "topic", "headers")
    arguments: list[dict[str, Any]] = [
        {},
        {"x-message-ttl": 60_000, "x-expires": 600_000},
        {"x-max-length": 5, "x-overflow": "reject-publish", "x-max-length-bytes": 5_000_000_000},
        {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"},
        {"x-max-priority": 10, "x-single-active-consumer": True},
        {"own": ["list", 1, 2.5, True, {"deep": "table"}]},
    ]
    to_queue = {"destination": "q-0", "destination_type": "queue", "routing_key": "a.#"}
    to_exchange = {"destination": "x-direct", "destination_type": "exchange", "routing_key": "k"}
    matched = {"x-match": "any", "n": 1, "é": "ü"}
    return {
        "exchanges": [
            {**vhost, "name": f"x-{kind}", "type": kind, "durable": True, "auto_delete": False,
             "internal": kind == "fanout", "arguments": {"alternate-exchange": "amq.fanout"}}
            for kind in types
        ],
        "queues": [
            {**vhost, "name": f"q-{number}", "durable": True, "auto_delete": number == 5,
             "arguments": given}
            for number, given in enumerate(arguments)
        ],
        "bindings": [
            *({**vhost, "source": f"x-{kind}", **to_queue, "arguments": matched} for kind in types),
            {**vhost, "source": "x-topic", **to_exchange, "arguments": {}},
        ],
    }  # fmt: skip


def own(document: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Return a document with only those objects whose names begin with ``prefix``."""
    kept = {key: value for key, value in document.items() if not isinstance(value, list)}
    for key in LISTS:
        name = "vhost" if key not in ("users", "vhosts") else "name"
        kept[key] = [item for item in document.get(key, []) if item[name].startswith(prefix)]
    return kept


def comparable(document: dict[str, Any]) -> dict[str, list[Any]]:
    """Return the lists in one order and in one spelling."""
    return {key: sorted(map(_plain, document[key]), key=repr) for key in LISTS}


def _plain(item: dict[str, Any]) -> dict[str, Any]:
    plain = {key: value for key, value in sorted(item.items()) if value not in ({}, [], None)}
    if "metadata" in plain:
        plain = {key: value for key, value in plain.items() if key not in IGNORED}
        metadata = {key: value for key, value in sorted(plain.pop("metadata").items()) if value}
        plain |= {"metadata": metadata} if metadata else {}
    if isinstance(plain.get("tags"), list | str):
        tags = plain["tags"]
        plain["tags"] = sorted(tags.split(",") if isinstance(tags, str) else tags)
    return plain
