"""What an import makes, as objects that nobody sees yet and as rows of one transaction.

::

    plan ──▶ prepare ──▶ commit: all on the disk, or nothing ──▶ appear: in force

Between any two objects others may have their turn: `prepare` and `appear` are generators. In
``appear`` what belongs to vhosts that are there already comes piece by piece: policies, exchanges,
queues, bindings. A vhost that is new appears at the end with all that is in it, together with users
and permissions, so nobody can enter it before.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

from amqpbroker.auth.users import ALL
from amqpbroker.broker.queue_types import create_queue
from amqpbroker.broker.store import Store
from amqpbroker.errors import AmqpError
from amqpbroker.storage.catalog import Draft
from amqpbroker.storage.catalog.rows import GlobalParameterRow, TopicPermissionRow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from amqpbroker.broker.broker import Broker
    from amqpbroker.broker.queue import Queue
    from amqpbroker.broker.vhost import VHost
    from amqpbroker.definitions.plan import Plan
    from amqpbroker.routing.binding import Binding
    from amqpbroker.routing.exchange import Exchange


class Staging:
    """One import. What was made or deleted since the plan was made is left as it is."""

    def __init__(self, broker: Broker, plan: Plan) -> None:
        self._broker = broker
        self._plan = plan
        self._draft: Draft | None = None
        self._store: Store | None = None
        if broker.store is not None:
            catalog = broker.store.catalog
            self._draft = Draft(catalog)
            self._store = Store(catalog, self._draft)
        self._new_vhosts: dict[str, VHost] = {}
        self._exchanges: dict[tuple[VHost, str], Exchange] = {}
        self._queues: dict[tuple[VHost, str], Queue] = {}
        self._bindings: list[tuple[VHost, Binding]] = []

    def _vhost(self, name: str) -> VHost | None:
        return self._new_vhosts.get(name) or self._broker.vhosts.get(name)

    # before the commit

    def prepare(self) -> Iterator[None]:
        """Make objects and rows.

        Raises :class:`~amqpbroker.storage.catalog.CatalogError`: the catalog is closed, or it could
        not be written for so long that there are no ids for queues.
        """
        if self._plan.with_defaults:
            self._plan_defaults()
        yield from self._prepare_vhosts()
        yield from self._prepare_accounts()
        yield from self._prepare_policies()
        yield from self._prepare_exchanges()
        yield from self._prepare_queues()
        yield from self._prepare_bindings()

    def _plan_defaults(self) -> None:
        plan, config = self._plan, self._broker.config
        name, vhost = config.default_user, config.default_vhost
        if vhost not in plan.vhosts:
            plan.vhosts.insert(0, vhost)
        plan.users[name] = self._broker.users.default_user(name, config.default_pass)
        plan.permissions.setdefault((vhost, name), ALL)

    def _prepare_vhosts(self) -> Iterator[None]:
        plan = self._plan
        for name in plan.vhosts:
            if name not in self._broker.vhosts:
                vhost = self._new_vhosts[name] = self._broker.new_vhost(name)
                vhost.metadata = plan.metadata.get(name, vhost.metadata)
                vhost.limits = plan.limits.get(name, vhost.limits)
                if self._store is not None:
                    self._store.put_vhost(vhost)
            yield
        for name in {**plan.metadata, **plan.limits}:
            known = self._broker.vhosts.get(name)
            if known is not None and self._store is not None:
                metadata = plan.metadata.get(name, known.metadata)
                self._store.put_vhost_row(name, metadata, plan.limits.get(name, known.limits))
            yield

    def _prepare_accounts(self) -> Iterator[None]:
        plan, store = self._plan, self._store
        plan.permissions = {k: v for k, v in plan.permissions.items() if self._is_there(*k)}
        plan.topic_permissions = {
            k: v for k, v in plan.topic_permissions.items() if self._is_there(*k[:2])
        }
        if store is None:
            return
        for user in plan.users.values():
            store.put_user(user)
            yield
        for (vhost, name), permissions in plan.permissions.items():
            store.put_permissions(name, vhost, permissions)
            yield
        for (vhost, name, exchange), topics in plan.topic_permissions.items():
            store.changes.put_topic_permission(TopicPermissionRow(name, vhost, exchange, *topics))
            yield
        for name, value in plan.global_parameters.items():
            store.changes.put_global_parameter(GlobalParameterRow(name, json.dumps(value)))
            yield

    def _is_there(self, vhost: str, username: str) -> bool:
        is_known = username in self._plan.users or username in self._broker.users.users
        return is_known and self._vhost(vhost) is not None

    def _prepare_policies(self) -> Iterator[None]:
        for name, (policy, is_operator) in self._plan.policies:
            if self._store is not None and self._vhost(name) is not None:
                self._store.put_policy(name, policy, is_operator=is_operator)
            yield

    def _prepare_exchanges(self) -> Iterator[None]:
        for name, exchange in self._plan.exchanges:
            vhost = self._vhost(name)
            if vhost is not None and exchange.name not in vhost.exchanges:
                self._exchanges[vhost, exchange.name] = exchange
                if self._store is not None:
                    self._store.put_exchange(name, exchange)
            yield

    def _prepare_queues(self) -> Iterator[None]:
        for name, new in self._plan.queues:
            vhost = self._vhost(name)
            if vhost is not None and new.name not in vhost.queues:
                queue = self._queues[vhost, new.name] = create_queue(
                    new.name,
                    is_durable=new.is_durable,
                    is_auto_delete=new.is_auto_delete,
                    arguments=new.arguments,
                    journal=self._broker.journal if new.is_durable else None,
                )
                if self._store is not None and new.is_durable:
                    self._store.put_queue(name, queue)
            yield

    def _prepare_bindings(self) -> Iterator[None]:
        for name, binding in self._plan.bindings:
            vhost = self._vhost(name)
            ends = None if vhost is None else self._ends(vhost, binding)
            if vhost is not None and ends is not None:
                self._bindings.append((vhost, binding))
                if self._store is not None and all(end.is_durable for end in ends):
                    self._store.put_binding(name, binding)
            yield

    def _ends(self, vhost: VHost, binding: Binding) -> tuple[Exchange, Exchange | Queue] | None:
        """Return both ends of a binding, None if one of them is gone."""
        kind, name = binding.destination
        source = self._exchange(vhost, binding.source)
        end: Exchange | Queue | None = self._exchange(vhost, name)
        if kind == "queue":
            end = self._queues.get((vhost, name)) or vhost.queues.get(name)
        return None if source is None or end is None else (source, end)

    def _exchange(self, vhost: VHost, name: str) -> Exchange | None:
        return self._exchanges.get((vhost, name)) or vhost.exchanges.get(name)

    # the commit, and what follows

    async def commit(self) -> None:
        """Return when all of it is on the disk.

        Raises :class:`~amqpbroker.storage.catalog.CatalogError`: nothing is changed.
        """
        if self._draft is not None:
            await self._draft.commit()

    def appear(self) -> Iterator[None]:
        """Let be in force what was committed."""
        broker, plan = self._broker, self._plan
        if self._store is not None and broker.store is not None:
            broker.store.queues.update(self._store.queues)
        broker.global_parameters.update(plan.global_parameters)
        for name, vhost in broker.vhosts.items():
            vhost.metadata = plan.metadata.get(name, vhost.metadata)
            vhost.limits = plan.limits.get(name, vhost.limits)
        for name, (policy, is_operator) in plan.policies:
            owner = self._vhost(name)
            if owner is not None:
                steps = owner.policies.putting(policy, is_operator=is_operator, is_stored=True)
                yield from steps
        for (vhost, _name), exchange in self._exchanges.items():
            vhost.add_exchange(exchange, is_stored=True)
            yield
        for (vhost, _name), queue in self._queues.items():
            queue.definition = None
            vhost.add_queue(queue, is_stored=True)
            yield
        for vhost, binding in self._bindings:
            self._bind(vhost, binding)
            yield
        broker.vhosts.update(self._new_vhosts)
        permissions = {(user, vhost): item for (vhost, user), item in plan.permissions.items()}
        topics = {(user, v, x): item for (v, user, x), item in plan.topic_permissions.items()}
        broker.users.load(plan.users.values(), permissions, topics)
        broker.permissions_changed()

    def _bind(self, vhost: VHost, binding: Binding) -> None:
        """Bind what has not been deleted since; then it is no more in the catalog either."""
        kind, end = binding.destination
        if end in (vhost.queues if kind == "queue" else vhost.exchanges):
            with suppress(AmqpError):  # the source is gone
                vhost.bind(binding, is_stored=True)
