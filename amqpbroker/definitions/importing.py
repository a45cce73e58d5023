"""Importing definitions into a running broker: check, prepare, commit, let it be in force.

All of an import is one transaction of the catalog. What clients do meanwhile wins: a queue that
they declare stays theirs, and what they delete takes its bindings along (see `broker.imports`).
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from anyio import CancelScope, to_thread
from anyio.lowlevel import checkpoint

from amqpbroker.definitions.checking import TURN_COUNT, check
from amqpbroker.definitions.exceptions import DefinitionsError
from amqpbroker.definitions.merging import merge
from amqpbroker.definitions.sources import Part
from amqpbroker.definitions.staging import Staging
from amqpbroker.memory import collector_spared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from amqpbroker.broker.broker import Broker
    from amqpbroker.broker.imports import Thing
    from amqpbroker.definitions.plan import Plan

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
    parameters: Mapping[str, Any] | None = None,
    progress_of: ProgressOf = log_progress,
) -> Plan:
    """Import documents as if they were one; ``source`` is what the log calls them.

    ``parameters`` are global ones that come with them. See `checking.check` for the rest. Returns
    what was done when it is on the disk. Raises :class:`DefinitionsError`, and
    :class:`~amqpbroker.storage.catalog.CatalogError` if it cannot be stored; nothing is changed
    then.
    """
    with collector_spared():
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
        plan.global_parameters.update(parameters or {})
        left_out = ", ".join(f"{name}: {count}" for name, count in plan.left_out.items() if count)
        if left_out:
            logger.warning("%s: left out, this broker does not have them: %s", source, left_out)
        applied = progress_of(f"{source}: importing")
        await apply_plan(broker, plan, lambda done: applied(done // 2, plan.count))
        logger.info("%s: imported %s", source, plan)
        return plan


async def apply_plan(
    broker: Broker, plan: Plan, on_progress: Callable[[int], None] = lambda done: None
) -> None:
    """Make the changes, all or none, and return when they are on the disk and in force.

    ``on_progress`` is told of twice as many as there are: each is prepared, and later in force.
    Raises :class:`~amqpbroker.storage.catalog.CatalogError`: nothing is changed.
    """
    reserved: set[Thing] = set()
    await _in_turns(broker, _reserve(plan, reserved))
    async with broker.imports.importing(reserved):
        staging = Staging(broker, plan)
        await _in_turns(broker, staging.prepare(), on_progress)
        await staging.commit()
        with CancelScope(shield=True):  # what is on the disk must be in force
            await _in_turns(
                broker,
                staging.appear(),
                lambda done: on_progress(plan.count + min(done, plan.count)),
            )
    on_progress(2 * plan.count)


async def _in_turns(
    broker: Broker, steps: Iterator[None], on_progress: Callable[[int], None] = lambda done: None
) -> None:
    """Do one step after the other, with turns for everybody else."""
    for done, _ in enumerate(steps, 1):
        if done % TURN_COUNT == 0:
            on_progress(done)
            broker.flush()
            await checkpoint()
    broker.flush()


def _reserve(plan: Plan, reserved: set[Thing]) -> Iterator[None]:
    """Add what nobody else may make meanwhile.

    The ends of new bindings are among it: one that was deleted must not be there again.
    """
    for vhost, exchange in plan.exchanges:
        reserved.add(("exchange", vhost, exchange.name))
        yield
    for vhost, queue in plan.queues:
        reserved.add(("queue", vhost, queue.name))
        yield
    for vhost, binding in plan.bindings:
        kind, name = binding.destination
        reserved.update(
            ((vhost, binding), ("exchange", vhost, binding.source), (kind, vhost, name))
        )
        yield
