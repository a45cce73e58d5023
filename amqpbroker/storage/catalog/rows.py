"""The rows of the catalog, as the broker writes and reads them.

Names and patterns are text; what is no UTF-8 is carried by surrogates (``surrogateescape``).
``arguments`` are bytes that only the broker understands (an encoded AMQP table, so that every type
survives). What is JSON is text that the broker encoded (FEATURES A14.2).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

DestinationType = Literal["queue", "exchange"]


class VHostRow(NamedTuple):
    """A vhost."""

    name: str
    metadata: str
    """JSON: description, tags, default_queue_type."""
    limits: str
    """JSON: max-connections, max-queues."""
    is_tracing: bool


class UserRow(NamedTuple):
    """A user."""

    name: str
    password_hash: str | None
    """None: no password logs this user in."""
    hashing_algorithm: str
    tags: str
    """JSON: a list."""
    limits: str
    """JSON: max-connections, max-channels."""
    scram_keys: str
    """JSON: a list with one text per mechanism."""


class PermissionRow(NamedTuple):
    """What a user may do in a vhost: three patterns."""

    username: str
    vhost: str
    configure: str
    write: str
    read: str


class TopicPermissionRow(NamedTuple):
    """Which routing keys of a topic exchange a user may write and read: two patterns."""

    username: str
    vhost: str
    exchange: str
    write: str
    read: str


class ExchangeRow(NamedTuple):
    """A durable exchange, ``amq.*`` included."""

    vhost: str
    name: str
    type: str
    is_auto_delete: bool
    is_internal: bool
    arguments: bytes


class QueueRow(NamedTuple):
    """A durable queue. ``id`` comes from `Catalog.next_queue_id`."""

    id: int
    vhost: str
    name: str
    is_auto_delete: bool
    arguments: bytes


class BindingRow(NamedTuple):
    """A binding between durable ends. All of it together is its identity."""

    vhost: str
    source: str
    destination_type: DestinationType
    destination: str
    binding_key: str
    arguments: bytes


class PolicyRow(NamedTuple):
    """A policy."""

    vhost: str
    name: str
    pattern: str
    apply_to: str
    priority: float
    definition: str
    """JSON."""


class ParameterRow(NamedTuple):
    """A parameter of a component in a vhost (operator policies are such)."""

    vhost: str
    component: str
    name: str
    value: str
    """JSON."""


class GlobalParameterRow(NamedTuple):
    """A parameter of the whole broker."""

    name: str
    value: str
    """JSON."""


class Snapshot(NamedTuple):
    """Everything that was committed."""

    vhosts: list[VHostRow]
    users: list[UserRow]
    permissions: list[PermissionRow]
    topic_permissions: list[TopicPermissionRow]
    exchanges: list[ExchangeRow]
    queues: list[QueueRow]
    bindings: list[BindingRow]
    policies: list[PolicyRow]
    parameters: list[ParameterRow]
    global_parameters: list[GlobalParameterRow]
