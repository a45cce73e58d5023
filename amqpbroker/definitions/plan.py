"""What an import is going to do: the result of checking a document, all of it valid."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from amqpbroker.auth.principal import User
    from amqpbroker.auth.users import Permissions, TopicPermissions
    from amqpbroker.broker.metadata import VHostMetadata
    from amqpbroker.broker.policies import Policy
    from amqpbroker.routing.binding import Binding
    from amqpbroker.routing.exchange import Exchange
    from amqpbroker.wire.table import Table


class NewPolicy(NamedTuple):
    """A policy or operator policy that is not there yet, or another one."""

    policy: Policy
    is_operator: bool


class NewQueue(NamedTuple):
    """A queue that is not there yet."""

    name: str
    is_durable: bool
    is_auto_delete: bool
    arguments: Table


@dataclass(slots=True)
class Plan:
    """Changes in the order in which they are applied; keys and pairs begin with the vhost."""

    with_defaults: bool = False
    """Whether the default vhost and user are made first."""
    vhosts: list[str] = field(default_factory=list)
    metadata: dict[str, VHostMetadata] = field(default_factory=dict)
    limits: dict[str, dict[str, int]] = field(default_factory=dict)
    users: dict[str, User] = field(default_factory=dict)
    permissions: dict[tuple[str, str], Permissions] = field(default_factory=dict)
    """By (vhost, username)."""
    topic_permissions: dict[tuple[str, str, str], TopicPermissions] = field(default_factory=dict)
    """By (vhost, username, exchange)."""
    policies: list[tuple[str, NewPolicy]] = field(default_factory=list)
    global_parameters: dict[str, Any] = field(default_factory=dict)
    exchanges: list[tuple[str, Exchange]] = field(default_factory=list)
    queues: list[tuple[str, NewQueue]] = field(default_factory=list)
    bindings: list[tuple[str, Binding]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    """What cannot be imported: a plural noun → how many."""

    @property
    def count(self) -> int:
        """How many changes there are."""
        accounts = len(self.users) + len(self.permissions) + len(self.topic_permissions)
        parameters = len(self.policies) + len(self.global_parameters)
        topology = len(self.exchanges) + len(self.queues) + len(self.bindings)
        vhosts = len(self.vhosts) + len(self.metadata) + len(self.limits)
        return vhosts + accounts + parameters + topology

    def __str__(self) -> str:
        names = ("vhosts", "users", "permissions", "policies", "exchanges", "queues", "bindings")
        return ", ".join(f"{len(getattr(self, name))} {name}" for name in names)
