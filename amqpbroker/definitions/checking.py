"""A document → a plan, or the first thing in it that is wrong.

Everything is checked against the broker and against what comes earlier in the document, and nothing
is changed. What is there already does not get into the plan, and what this broker cannot take is
counted. Between pieces of the work others get their turn.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from anyio.lowlevel import checkpoint

from amqpbroker.broker.arguments import (
    DEFAULT_QUEUE_TYPE,
    check_declare,
    check_replicated,
    queue_type,
)
from amqpbroker.broker.metadata import VHostMetadata
from amqpbroker.broker.names import RESERVED_PREFIX, described
from amqpbroker.broker.policies import OPERATOR_POLICY
from amqpbroker.broker.policy_checks import InvalidPolicy, check_policy, unknown_settings
from amqpbroker.broker.queue_types import QUEUE_CLASSES
from amqpbroker.broker.quotas import COUNT_LIMITS, MAX_QUEUES, RATE_LIMITS, VHOST_LIMITS
from amqpbroker.broker.vhost import VHost
from amqpbroker.definitions import models
from amqpbroker.definitions.account_checks import AccountChecks, check_limits
from amqpbroker.definitions.exceptions import DefinitionsError, mismatch, shown
from amqpbroker.definitions.plan import NewPolicy, NewQueue, Plan
from amqpbroker.definitions.reading import MODELS, Document, read_item
from amqpbroker.definitions.values import loose, to_table
from amqpbroker.errors import AmqpError
from amqpbroker.routing.binding import Binding, Destination, freeze_arguments, thaw_arguments
from amqpbroker.routing.registry import TYPE_NAMES, create_exchange
from amqpbroker.wire.table import Field

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from amqpbroker.broker.broker import Broker
    from amqpbroker.broker.policies import Policy
    from amqpbroker.routing.exchange import Exchange
    from amqpbroker.wire.table import Table

TURN_COUNT: Final = 50
"""Objects handled before others get their turn: less than a millisecond."""
OF_VHOST: Final = frozenset({"parameters", "policies", "exchanges", "queues", "bindings"})
"""The lists that a file of one vhost has."""
_ARGUMENT: Final = re.compile(r"arg(?:ument)? '([^']+)'")


async def check(
    broker: Broker,
    document: Document,
    *,
    vhost: str | None = None,
    with_defaults: bool = False,
    on_progress: Callable[[int], None] = lambda done: None,
) -> Plan:
    """Return what importing ``document`` takes.

    With ``vhost`` all is meant for that one, whatever the document says, and accounts are left out.
    What is read of the document is taken out of it.
    ``with_defaults`` has the default vhost and user made first, if no users are in the document.

    Raises :class:`DefinitionsError` for the first mistake; nothing is changed.
    """
    plan = Plan(with_defaults=with_defaults and not document["users"])
    checks = _Checks(broker, plan, vhost)
    done = 0
    for key, model in MODELS.items():
        if vhost is not None and key not in OF_VHOST:
            plan.left_out[key] += len(document[key])
            continue
        take = checks.takers[model]
        items = document[key]
        for index, value in enumerate(items):
            path = f"{key}[{index}]"
            take(read_item(model, value, path), path)
            items[index] = None  # to free all at once would keep others waiting
            if index % TURN_COUNT == TURN_COUNT - 1:
                on_progress(done + index)
                await checkpoint()
        done += len(document[key])
    return plan


class _Checks:
    """What is known while a document is checked: the broker as it would be by then."""

    def __init__(self, broker: Broker, plan: Plan, scope: str | None) -> None:
        self._plan = plan
        self._scope = scope
        self._vhosts = dict(broker.vhosts)
        self._parameters = broker.global_parameters
        self._exchanges: dict[tuple[str, str], Exchange] = {}
        """New ones."""
        self._queues: set[tuple[str, str]] = set()
        """New ones."""
        self._queue_counts: dict[str, int] = {}
        self._seen: set[tuple[str, Binding]] = set()
        config = broker.config
        accounts = AccountChecks(broker, plan, self._vhosts)
        if plan.with_defaults:
            self._vhosts[config.default_vhost] = VHost(config.default_vhost)
            accounts.known.add(config.default_user)
        self.takers: dict[type[models.Item], Any] = {
            models.VHost: self._take_vhost,
            models.User: accounts.take_user,
            models.Permission: accounts.take_permission,
            models.TopicPermission: accounts.take_topic_permission,
            models.Parameter: self._take_parameter,
            models.GlobalParameter: self._take_global_parameter,
            models.Policy: self._take_policy,
            models.Exchange: self._take_exchange,
            models.Queue: self._take_queue,
            models.Binding: self._take_binding,
        }

    def _vhost(self, item: models.OfVHost, path: str) -> VHost:
        name = item.vhost if self._scope is None else self._scope
        if name is None:
            text = "expected the name of a vhost, found none (a file of one vhost is imported by"
            raise DefinitionsError(f"{path}.vhost", f"{text} POST /api/definitions/VHOST)")
        vhost = self._vhosts.get(name)
        if vhost is None:
            raise mismatch(f"{path}.vhost", "a vhost that is here or in the file", name)
        return vhost

    # vhosts and what they have

    def _take_vhost(self, item: models.VHost, path: str) -> None:
        limits = check_limits(item.limits, VHOST_LIMITS, f"{path}.limits")
        if item.name not in self._vhosts:
            self._vhosts[item.name] = VHost(item.name)
            self._plan.vhosts.append(item.name)
        rates = check_limits(item.publish_limits, RATE_LIMITS, f"{path}.publish_limits")
        if limits:
            self._plan_limits(self._vhosts[item.name], limits)
        if rates:
            self._plan_limits(self._vhosts[item.name], rates, RATE_LIMITS)
        self._plan_metadata(self._vhosts[item.name], item, path)

    def _plan_metadata(self, vhost: VHost, item: models.VHost, path: str) -> None:
        said = {name: getattr(item, name) for name in ("description", "tags", "default_queue_type")}
        said = {name: value for name, value in said.items() if value is not None} | item.metadata
        if not said:
            return
        description, tags = said.get("description", ""), said.get("tags", [])
        if not isinstance(description, str):
            raise mismatch(f"{path}.description", "text", description)
        if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
            raise mismatch(f"{path}.tags", "a list of texts", tags)
        kind = said.get("default_queue_type")
        if kind not in (None, "undefined", *QUEUE_CLASSES):
            self._plan.left_out["default queue types of vhosts"] += 1
        metadata = VHostMetadata(description, tuple(tags), kind if kind in QUEUE_CLASSES else None)
        if metadata != vhost.metadata:
            self._plan.metadata[vhost.name] = metadata

    def _plan_limits(
        self, vhost: VHost, limits: dict[str, int], replaced: Collection[str] = COUNT_LIMITS
    ) -> None:
        """Plan limits that replace those named; a file has the two kinds in two places."""
        now = self._plan.limits.get(vhost.name, vhost.limits)
        new = {name: limit for name, limit in now.items() if name not in replaced} | limits
        if new != now:
            self._plan.limits[vhost.name] = new

    def _take_parameter(self, item: models.Parameter, path: str) -> None:
        vhost = self._vhost(item, path)
        if item.component == "vhost-limits":
            limits = check_limits(item.value, VHOST_LIMITS, f"{path}.value")
            self._plan_limits(vhost, limits)
        elif item.component == OPERATOR_POLICY:
            self._take_operator_policy(vhost, item, path)
        else:
            self._plan.left_out["parameters"] += 1

    def _take_global_parameter(self, item: models.GlobalParameter, path: str) -> None:
        if item.name.startswith("internal_"):  # what RabbitMQ keeps for itself
            return
        if item.name not in self._parameters or self._parameters[item.name] != item.value:
            self._plan.global_parameters[item.name] = item.value

    def _take_policy(self, item: models.Policy, path: str) -> None:
        vhost = self._vhost(item, path)
        values = {"pattern": item.pattern, "apply-to": item.apply_to, "priority": item.priority}
        if unknown_settings(item.definition, is_operator=False):
            self._plan.left_out["policies with settings of plugins"] += 1
            return
        policy = _checked(item.name, values, item.definition, path, is_operator=False)
        if vhost.policies.policies.get(item.name) != policy:
            self._plan.policies.append((vhost.name, NewPolicy(policy, is_operator=False)))

    def _take_operator_policy(self, vhost: VHost, item: models.Parameter, path: str) -> None:
        path = f"{path}.value"
        if not isinstance(item.value, dict):
            raise mismatch(path, "an object", item.value)
        definition = item.value.get("definition")
        if not isinstance(definition, dict):
            raise mismatch(f"{path}.definition", "an object", definition)
        if unknown_settings(definition, is_operator=True):
            self._plan.left_out["operator policies with unknown settings"] += 1
            return
        policy = _checked(item.name, item.value, definition, path, is_operator=True)
        if vhost.policies.operator_policies.get(item.name) != policy:
            self._plan.policies.append((vhost.name, NewPolicy(policy, is_operator=True)))

    # topology

    def _take_exchange(self, item: models.Exchange, path: str) -> None:
        vhost = self._vhost(item, path)
        if item.type not in TYPE_NAMES:
            known = ", ".join(TYPE_NAMES)
            raise mismatch(f"{path}.type", f"an exchange type ({known})", item.type)
        arguments = to_table(item.arguments, f"{path}.arguments")
        try:
            exchange = create_exchange(
                item.type,
                item.name,
                is_durable=item.durable,
                is_auto_delete=item.auto_delete,
                is_internal=item.internal,
                arguments=arguments,
                vhost=vhost.name,
            )
        except AmqpError as error:
            raise _bad_argument(error, item, path) from None
        key = vhost.name, item.name
        if item.name in vhost.exchanges or key in self._exchanges:
            return
        if item.name.startswith(RESERVED_PREFIX):
            self._plan.left_out["exchanges named amq.*"] += 1
            return
        self._exchanges[key] = exchange
        self._plan.exchanges.append((vhost.name, exchange))

    def _take_queue(self, item: models.Queue, path: str) -> None:
        vhost = self._vhost(item, path)
        arguments = _typed_arguments(item, path)
        where = described("queue", item.name, vhost.name)
        try:
            check_declare(arguments, where)
            if queue_type(arguments) != DEFAULT_QUEUE_TYPE:
                check_replicated(
                    where,
                    is_auto_delete=item.auto_delete,
                    is_exclusive=False,
                    is_durable=item.durable,
                )
        except AmqpError as error:
            raise _bad_argument(error, item, path) from None
        key = vhost.name, item.name
        if item.name in vhost.queues or key in self._queues:
            return
        if item.name.startswith(RESERVED_PREFIX):
            self._plan.left_out["queues named amq.*"] += 1
            return
        self._queues.add(key)
        self._check_queue_limit(vhost, path)
        new = NewQueue(item.name, item.durable, item.auto_delete, arguments)
        self._plan.queues.append((vhost.name, new))

    def _check_queue_limit(self, vhost: VHost, path: str) -> None:
        """Hold new queues against the limit that the vhost has by now, as RabbitMQ does."""
        count = self._queue_counts.get(vhost.name, 0) + 1
        self._queue_counts[vhost.name] = count
        limit = vhost.limits.get(MAX_QUEUES, -1)
        if 0 <= limit < len(vhost.queues) + count:
            text = (
                f"expected at most {limit} queues in vhost '{vhost.name}' (its limit), found more"
            )
            raise DefinitionsError(path, text)

    def _take_binding(self, item: models.Binding, path: str) -> None:
        vhost = self._vhost(item, path)
        arguments = to_table(item.arguments, f"{path}.arguments")
        binding = Binding(
            item.source,
            Destination(item.destination_type, item.destination),
            item.routing_key,
            freeze_arguments(arguments),
        )
        if _is_implicit(item):
            return
        source = self._source(vhost, binding, path)
        if source is None or not self._is_destination(vhost, binding, path):
            self._plan.left_out["bindings of what is named amq.*"] += 1
            return
        try:
            source.check_binding(binding)
        except AmqpError as error:
            raise _bad_argument(error, item, path) from None
        key = vhost.name, binding
        if key not in self._seen and not _is_there(vhost, binding):
            self._seen.add(key)
            self._plan.bindings.append(key)

    def _source(self, vhost: VHost, binding: Binding, path: str) -> Exchange | None:
        """Return the source of a binding; None if it is one of RabbitMQ's own."""
        name = binding.source
        exchange = vhost.exchanges.get(name) or self._exchanges.get((vhost.name, name))
        if exchange is None and name.startswith(RESERVED_PREFIX):
            return None
        if exchange is None or not name:
            expected = f"an exchange of vhost '{vhost.name}', here or in the file"
            raise mismatch(f"{path}.source", expected, name)
        return exchange

    def _is_destination(self, vhost: VHost, binding: Binding, path: str) -> bool:
        """Return whether the destination is there, now or later; False if it is left out."""
        kind, name = binding.destination
        key = vhost.name, name
        if kind == "queue":
            is_there = name in vhost.queues or key in self._queues
        else:
            is_there = bool(name) and (name in vhost.exchanges or key in self._exchanges)
        if not is_there and not name.startswith(RESERVED_PREFIX):
            article = "a queue" if kind == "queue" else "an exchange"
            expected = f"{article} of vhost '{vhost.name}', here or in the file"
            raise mismatch(f"{path}.destination", expected, name)
        return is_there


def _checked(
    name: str,
    values: Mapping[str, Any],
    definition: Mapping[str, Any],
    path: str,
    *,
    is_operator: bool,
) -> Policy:
    try:
        return check_policy(name, values, definition, is_operator=is_operator)
    except InvalidPolicy as error:
        raise DefinitionsError(path, str(error)) from None


def _is_implicit(item: models.Binding) -> bool:
    """Return whether this is the binding to the default exchange that every queue has."""
    is_of_queue = item.destination_type == "queue" and item.routing_key == item.destination
    return not item.source and is_of_queue


def _is_there(vhost: VHost, binding: Binding) -> bool:
    """Return whether a binding exists already, or one that an export shows alike.

    RabbitMQ adds a second one if a client has bound with an int32: JSON does not tell.
    """
    exchange = vhost.exchanges.get(binding.source)
    if exchange is None or binding in exchange.bindings:
        return exchange is not None
    if not binding.arguments:
        return False
    return any(
        (other.source, other.binding_key) == (binding.source, binding.binding_key)
        and loose("F", thaw_arguments(other.arguments))
        == loose("F", thaw_arguments(binding.arguments))
        for other in vhost.bindings_to(binding.destination)
    )


def _typed_arguments(item: models.Queue, path: str) -> Table:
    """Return the arguments of a queue, its type among them unless it is classic."""
    arguments = to_table(item.arguments, f"{path}.arguments")
    if item.type not in (None, DEFAULT_QUEUE_TYPE):
        arguments.setdefault(
            "x-queue-type", Field("S", item.type.encode("utf-8", "surrogateescape"))
        )
    kind = queue_type(arguments)
    if item.type not in (None, kind):
        raise mismatch(f"{path}.type", f"'{kind}' as in its arguments", item.type)
    if kind not in QUEUE_CLASSES:
        where = "arguments.x-queue-type" if item.type is None else "type"
        raise mismatch(f"{path}.{where}", f"one of {', '.join(QUEUE_CLASSES)}", kind)
    return arguments


def _bad_argument(
    error: AmqpError, item: models.Exchange | models.Queue | models.Binding, path: str
) -> DefinitionsError:
    """Return the error of what AMQP would refuse, in the words of AMQP."""
    match = _ARGUMENT.search(error.explanation)
    arguments = item.arguments or {}
    if match is None or match[1] not in arguments:
        return DefinitionsError(path, error.explanation)
    found = shown(arguments[match[1]])
    text = f"expected a valid argument, found {found}: {error.explanation}"
    return DefinitionsError(f"{path}.arguments.{match[1]}", text)
