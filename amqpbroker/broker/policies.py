"""Policies: settings for all queues and exchanges of a vhost whose names match (FEATURES A13).

Of the policies that match a name, the one with the highest priority is in force, and beside it one
operator policy. The two are merged key by key, and the result with the arguments of the declare
(``settings``). A change is in force at once for what is there already, and nothing but the change
costs anything: queues keep the settings that they have ended up with.

Patterns are RabbitMQ's: unanchored, over the bytes of the name; see ``auth.regexps`` for what they
may cost. https://www.rabbitmq.com/docs/policies
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from amqpbroker.auth.regexps import matches
from amqpbroker.broker.settings import QueueSettings
from amqpbroker.routing.exchange import ALTERNATE_EXCHANGE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from amqpbroker.broker.queue import Queue
    from amqpbroker.broker.vhost import VHost
    from amqpbroker.routing.exchange import Exchange

OPERATOR_POLICY: Final = "operator_policy"
"""The component of operator policies among the parameters of a vhost."""
QUEUE_TYPES: Final = {
    "classic": "classic_queues",
    "quorum": "quorum_queues",
    "stream": "streams",
}
"""Queue type → what ``apply-to`` calls the queues of this type alone."""
STEP_COST: Final = 2000
"""Queues looked at before others get their turn: some 5 ms."""
CHANGE_COST: Final = 20
"""Queues that can be looked at in the time that changing one takes."""
_ANYTHING: Final = "(?:)"
_UNSUPPORTED: Final = {
    "classic": frozenset(
        {
            "dead-letter-strategy",
            "delivery-limit",
            "initial-cluster-size",
            "max-age",
            "queue-leader-locator",
            "stream-max-segment-size-bytes",
        }
    ),
    "quorum": frozenset(
        {
            "ha-mode",
            "ha-params",
            "ha-promote-on-failure",
            "ha-promote-on-shutdown",
            "ha-sync-mode",
            "initial-cluster-size",
            "max-age",
            "queue-master-locator",
            "queue-mode",
            "stream-max-segment-size-bytes",
        }
    ),
}
"""Queue type → settings: a policy with one of these does not apply to such queues at all, as on
RabbitMQ."""
_OF_STREAMS: Final = frozenset(
    {
        "initial-cluster-size",
        "max-age",
        "max-length-bytes",
        "queue-leader-locator",
        "stream-max-segment-size-bytes",
    }
)
"""A policy with anything else does not apply to streams at all."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy or operator policy, valid by ``policy_checks``."""

    name: str
    pattern: str
    definition: Mapping[str, Any]
    priority: float = 0
    apply_to: str = "all"

    def matches(self, name: str) -> bool:
        """Return whether the pattern is found in a name; the empty one is found in all."""
        return matches(self.pattern or _ANYTHING, name)

    def is_for_queue(self, queue: Queue) -> bool:
        """Return whether the policy may be in force for a queue."""
        if self.apply_to not in ("all", "queues", QUEUE_TYPES[queue.type]):
            return False
        if queue.type == "stream":
            if not _OF_STREAMS.issuperset(self.definition):
                return False
        elif not _UNSUPPORTED[queue.type].isdisjoint(self.definition):
            return False
        return self.matches(queue.name)

    def is_for_exchange(self, exchange: Exchange) -> bool:
        """Return whether the policy may be in force for an exchange."""
        return self.apply_to in ("all", "exchanges") and self.matches(exchange.name)

    def to_json(self) -> dict[str, Any]:
        """Return the policy without its name, as a parameter has it."""
        return {
            "pattern": self.pattern,
            "definition": dict(self.definition),
            "priority": self.priority,
            "apply-to": self.apply_to,
        }

    @classmethod
    def from_json(cls, name: str, text: str) -> Policy:
        """Read what ``to_json`` has returned."""
        value = json.loads(text)
        return cls(
            name, value["pattern"], value["definition"], value["priority"], value["apply-to"]
        )


@dataclass(frozen=True, slots=True)
class InForce:
    """What policies have to say about one queue or exchange."""

    policy: Policy | None = None
    operator_policy: Policy | None = None
    definition: Mapping[str, Any] = field(default_factory=dict)
    """The two merged."""


NOTHING_IN_FORCE: Final = InForce()


def merge(policy: Mapping[str, Any], operator_policy: Mapping[str, Any]) -> dict[str, Any]:
    """Return two definitions as one: a number in both is the lower one (FEATURES A13.4)."""
    merged = {**policy, **operator_policy}
    for key in policy.keys() & operator_policy.keys():
        merged[key] = min(policy[key], operator_policy[key])
    return dict(sorted(merged.items()))


def in_order(policies: Iterable[Policy]) -> dict[str, Policy]:
    """Return policies by name, the one that wins first: by priority, then by name."""
    ordered = sorted(policies, key=lambda policy: (-policy.priority, policy.name))
    return {policy.name: policy for policy in ordered}


class Policies:
    """The policies of a vhost."""

    __slots__ = ("_vhost", "operator_policies", "policies")

    def __init__(self, vhost: VHost) -> None:
        self._vhost = vhost
        self.policies: dict[str, Policy] = {}
        """By name, the one that wins first."""
        self.operator_policies: dict[str, Policy] = {}

    def __bool__(self) -> bool:
        return bool(self.policies or self.operator_policies)

    def put(self, policy: Policy, *, is_operator: bool = False) -> None:
        """Add or replace a policy."""
        for _ in self.putting(policy, is_operator=is_operator):
            pass

    def putting(
        self, policy: Policy, *, is_operator: bool = False, is_stored: bool = False
    ) -> Iterator[None]:
        """Add or replace a policy, then bring what is there into line, in steps.

        It may be in the store already.
        Others may have their turn after each step, even change policies again.
        """
        vhost = self._vhost
        policies = self._of_kind(is_operator=is_operator)
        old = policies.get(policy.name)
        self._set([*(p for p in policies.values() if p is not old), policy], is_operator)
        if vhost.store is not None and not is_stored:
            vhost.store.put_policy(vhost.name, policy, is_operator=is_operator)
        yield
        yield from self._applying([policy] if old is None else [policy, old])

    def delete(self, name: str, *, is_operator: bool = False) -> None:
        """Remove a policy that is there."""
        for _ in self.deleting(name, is_operator=is_operator):
            pass

    def deleting(self, name: str, *, is_operator: bool = False) -> Iterator[None]:
        """Remove a policy that is there, then bring what is there into line, in steps."""
        vhost = self._vhost
        policies = self._of_kind(is_operator=is_operator)
        old = policies[name]
        self._set([policy for policy in policies.values() if policy is not old], is_operator)
        if vhost.store is not None:
            vhost.store.delete_policy(vhost.name, name, is_operator=is_operator)
        yield
        yield from self._applying([old])

    def _of_kind(self, *, is_operator: bool) -> dict[str, Policy]:
        return self.operator_policies if is_operator else self.policies

    def _set(self, policies: list[Policy], is_operator: bool) -> None:
        if is_operator:
            self.operator_policies = in_order(policies)
        else:
            self.policies = in_order(policies)

    # what is in force

    def of_queue(self, queue: Queue) -> InForce:
        """Return what is in force for a queue."""
        if not self:
            return NOTHING_IN_FORCE
        return _in_force(
            next((p for p in self.policies.values() if p.is_for_queue(queue)), None),
            next((p for p in self.operator_policies.values() if p.is_for_queue(queue)), None),
        )

    def of_exchange(self, exchange: Exchange) -> InForce:
        """Return what is in force for an exchange."""
        if not self:
            return NOTHING_IN_FORCE
        return _in_force(
            next((p for p in self.policies.values() if p.is_for_exchange(exchange)), None),
            next((p for p in self.operator_policies.values() if p.is_for_exchange(exchange)), None),
        )

    def settings_of(self, queue: Queue) -> QueueSettings:
        """Return the settings of a queue: its arguments, and what is in force for it."""
        return QueueSettings.of(queue.arguments, self.of_queue(queue).definition)

    def set_alternate(self, exchange: Exchange) -> bool:
        """Let an exchange have the alternate exchange that is in force; return if that is new."""
        before = exchange.alternate
        exchange.set_policy_alternate(self.of_exchange(exchange).definition.get(ALTERNATE_EXCHANGE))
        return exchange.alternate != before

    def _applying(self, changed: list[Policy]) -> Iterator[None]:
        """Bring what is there into line; only names that a changed policy matches can differ."""
        vhost = self._vhost
        cost = 0
        for queue in list(vhost.queues.values()):
            cost += 1
            if any(policy.matches(queue.name) for policy in changed) and not queue.is_deleted:
                settings = self.settings_of(queue)
                if settings != queue.settings:
                    queue.apply(settings)
                    cost += CHANGE_COST
            if cost >= STEP_COST:
                cost = 0
                yield
        is_rerouted = False
        for exchange in vhost.exchanges.values():
            if any(policy.matches(exchange.name) for policy in changed):
                is_rerouted |= self.set_alternate(exchange)
        if is_rerouted:
            vhost.forget_routes()


def _in_force(policy: Policy | None, operator_policy: Policy | None) -> InForce:
    if policy is None and operator_policy is None:
        return NOTHING_IN_FORCE
    definition = merge(
        {} if policy is None else policy.definition,
        {} if operator_policy is None else operator_policy.definition,
    )
    return InForce(policy, operator_policy, definition)
