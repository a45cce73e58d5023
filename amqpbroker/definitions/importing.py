"""Importing definitions into a running broker: check, apply, wait until all is on the disk.

What clients do meanwhile wins: a queue that they declare stays theirs, and what they delete takes
its bindings along.
"""

from __future__ import annotations

import json
import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeAlias

from anyio import to_thread
from anyio.lowlevel import checkpoint

from amqpbroker.broker.queue_types import create_queue
from amqpbroker.definitions.checking import TURN_COUNT, check
from amqpbroker.definitions.exceptions import DefinitionsError
from amqpbroker.definitions.merging import merge
from amqpbroker.definitions.sources import Part
from amqpbroker.errors import AmqpError
from amqpbroker.storage.catalog.rows import GlobalParameterRow, TopicPermissionRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from amqpbroker.broker.broker import Broker
    from amqpbroker.definitions.plan import Plan
    from amqpbroker.storage.catalog import Ticket

logger = logging.getLogger("amqpbroker.definitions")

LOG_INTERVAL_S: Final = 5.0

OnProgress: TypeAlias = "Callable[[int, int], None]"
"""Called with how much of how much is done."""
ProgressOf: TypeAlias = "Callable[[str], OnProgress]"
"""Called with the name of a piece of work that begins."""


def log_progress(what: str, clock: Callable[[], float] = time.monotonic) -> OnProgress:
    """Log a line every few seconds for who waits for a long import."""
    shown_at = clock()

    def update(done: int, total: int) -> None:
        nonlocal shown_at
        now = clock()
        if now - shown_at >= LOG_INTERVAL_S:
            shown_at = now
            logger.info("%s: %d of %d", what, done, total)

    return update


async def import_document(
    broker: Broker, data: bytes, *, source: str, vhost: str | None = None
) -> Plan:
    """Import one document; see :func:`import_parts`."""
    return await import_parts(broker, [Part("", data)], source=source, vhost=vhost)


async def import_parts(
    broker: Broker,
    parts: Sequence[Part],
    *,
    source: str,
    vhost: str | None = None,
    with_defaults: bool = False,
    progress_of: ProgressOf = log_progress,
) -> Plan:
    """Import documents as if they were one; ``source`` is what the log calls them.

    See `checking.check` for the rest. Returns what was done when it is on the disk. Raises
    :class:`DefinitionsError`, nothing is changed then, and
    :class:`~amqpbroker.storage.catalog.CatalogError`: not all could be stored, and importing it
    again makes up for the rest.
    """
    merged = await to_thread.run_sync(merge, parts)
    total = sum(map(len, merged.document.values()))
    checked = progress_of(f"{source}: checking")
    try:
        plan = await check(
            broker,
            merged.document,
            vhost=vhost,
            with_defaults=with_defaults,
            on_progress=lambda done: checked(done, total),
        )
    except DefinitionsError as error:
        raise merged.located(error) from None
    checked(total, total)
    left_out = ", ".join(f"{name}: {count}" for name, count in plan.left_out.items() if count)
    if left_out:
        logger.warning("%s: left out, this broker does not have them: %s", source, left_out)
    applied = progress_of(f"{source}: importing")
    await apply_plan(broker, plan, lambda done: applied(done, plan.count))
    logger.info("%s: imported %s", source, plan)
    return plan


async def apply_plan(
    broker: Broker, plan: Plan, on_progress: Callable[[int], None] = lambda done: None
) -> None:
    """Make the changes and return when they are on the disk.

    Raises :class:`~amqpbroker.storage.catalog.CatalogError`: some of them never will be.
    """
    store = broker.store
    tickets: list[Ticket | None] = []
    for done, ticket in enumerate(_changes(broker, plan), 1):
        tickets.append(ticket)
        if store is not None:
            tickets.append(store.take_ticket())
        if done % TURN_COUNT == 0:
            on_progress(done)
            await checkpoint()
    broker.flush()
    for ticket in tickets:
        if ticket is not None:
            await ticket.wait()
    on_progress(plan.count)


def _changes(broker: Broker, plan: Plan) -> Iterator[Ticket | None]:
    """Make one change after the other."""
    if plan.with_defaults:
        broker.add_defaults()
        yield None
    for name in plan.vhosts:
        if name not in broker.vhosts:
            broker.add_vhost(name)
        yield None
    for name in {**plan.metadata, **plan.limits}:
        vhost = broker.vhosts.get(name)
        if vhost is not None:
            vhost.metadata = plan.metadata.get(name, vhost.metadata)
            vhost.limits = plan.limits.get(name, vhost.limits)
            if broker.store is not None:
                broker.store.put_vhost_itself(vhost)
        yield None
    yield from _account_changes(broker, plan)
    for name, value in plan.global_parameters.items():
        broker.global_parameters[name] = value
        row = GlobalParameterRow(name, json.dumps(value))
        yield None if broker.store is None else broker.store.catalog.put_global_parameter(row)
    yield from _topology_changes(broker, plan)


def _account_changes(broker: Broker, plan: Plan) -> Iterator[Ticket | None]:
    users, store = broker.users, broker.store
    for user in plan.users.values():
        users.put_user(user)
        if store is not None:
            store.put_user(user)
        yield None
    for (vhost, name), permissions in plan.permissions.items():
        if vhost in broker.vhosts and name in users.users:
            users.set_permissions(name, vhost, permissions)
            if store is not None:
                store.put_permissions(name, vhost, permissions)
        yield None
    for (vhost, name, exchange), topics in plan.topic_permissions.items():
        ticket = None
        if vhost in broker.vhosts and name in users.users:
            users.set_topic_permissions(name, vhost, exchange, topics)
            if store is not None:
                row = TopicPermissionRow(name, vhost, exchange, *topics)
                ticket = store.catalog.put_topic_permission(row)
        yield ticket
    broker.permissions_changed()


def _topology_changes(broker: Broker, plan: Plan) -> Iterator[None]:
    for name, (policy, is_operator) in plan.policies:
        vhost = broker.vhosts.get(name)
        if vhost is not None:
            vhost.policies.put(policy, is_operator=is_operator)
        yield
    for name, exchange in plan.exchanges:
        vhost = broker.vhosts.get(name)
        if vhost is not None and exchange.name not in vhost.exchanges:
            vhost.add_exchange(exchange)
        yield
    for name, new in plan.queues:
        vhost = broker.vhosts.get(name)
        if vhost is not None and new.name not in vhost.queues:
            queue = create_queue(
                new.name,
                is_durable=new.is_durable,
                is_auto_delete=new.is_auto_delete,
                arguments=new.arguments,
                journal=broker.journal if new.is_durable else None,
            )
            vhost.add_queue(queue)
        yield
    for name, binding in plan.bindings:
        vhost = broker.vhosts.get(name)
        if vhost is not None:
            kind, end = binding.destination
            if end in (vhost.queues if kind == "queue" else vhost.exchanges):
                with suppress(AmqpError):  # the source is gone, or another one
                    vhost.bind(binding)
        yield
