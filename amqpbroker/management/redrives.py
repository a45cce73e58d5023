"""``/redrives``: dead letters on their way back (FEATURES N7). RabbitMQ has no such paths.

Whoever may read the queue and write to the default exchange may do it: those are the permissions
of a client that would get the messages and publish them again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from amqpbroker.broker.redrive import Filter, Plan
from amqpbroker.management.call import Answer, Api, Arguments, Flag, Json, done
from amqpbroker.management.errors import bad_request, not_found
from amqpbroker.management.paths import new_router
from amqpbroker.management.values import to_table

if TYPE_CHECKING:
    from amqpbroker.broker.redrive import Redrive
    from amqpbroker.broker.vhost import VHost

router = new_router()


class Order(BaseModel):
    """The body of a POST. A name that is not known might have been a filter, so it is refused."""

    model_config = ConfigDict(extra="forbid")

    dry_run: Flag = False
    reason: str | None = None
    origin: str | None = None
    headers: Arguments = Field(default_factory=dict)
    older_than_ms: int | None = Field(default=None, ge=0)
    newer_than_ms: int | None = Field(default=None, ge=0)
    target: str | None = Field(default=None, min_length=1)
    rate: float | None = Field(default=None, gt=0, le=1_000_000)
    count: int | None = Field(default=None, ge=0)

    def plan(self) -> Plan:
        """Return what is to be done."""
        return Plan(
            filter=Filter(
                reason=self.reason,
                origin=self.origin,
                headers=to_table(self.headers),
                older_than_ms=self.older_than_ms,
                newer_than_ms=self.newer_than_ms,
            ),
            target=self.target,
            rate=self.rate,
            count_max=self.count,
            is_dry_run=self.dry_run,
        )


def _describe(vhost: VHost, redrive: Redrive) -> dict[str, Any]:
    return {
        "dry_run": redrive.plan.is_dry_run,
        "examined": redrive.examined_count,
        "id": str(redrive.id),
        "moved": redrive.moved_count,
        "moved_to": dict(redrive.moved),
        "queue": redrive.queue.name,
        "state": redrive.state,
        "stranded": sum(redrive.stranded.values()),
        "stranded_for": dict(redrive.stranded),
        "total": redrive.total_count,
        "vhost": vhost.name,
        "waiting": redrive.is_waiting,
    }


async def _find(call: Api, vhost: str, number: str) -> tuple[VHost, Redrive]:
    """Return a redrive of a queue that the user may read.

    Raises :class:`~amqpbroker.management.errors.ApiError` 404, or 401 by way of
    :class:`~amqpbroker.errors.SoftError` 403.
    """
    found = call.vhost(vhost)
    is_number = number.isascii() and number.isdigit() and len(number) <= 18
    redrive = found.redrives.find(int(number)) if is_number else None
    if redrive is None:
        raise not_found()
    with call.direct(found) as session:
        await session.permit("queue", redrive.queue.name, "read")
    return found, redrive


@router.post("/queues/{vhost:name}/{name:name}/redrive")
async def start(call: Api, vhost: str, name: str) -> Answer:
    """Begin to move dead letters of a queue back; a dry run only counts them."""
    found = call.vhost(vhost)
    plan = (await call.body(Order)).plan()
    with call.direct(found) as session:
        await session.permit("queue", name, "read")
        await session.permit("exchange", "", "write")
        queue = found.queue(name, session)
        if queue.type == "stream":
            raise bad_request("a stream is not redriven: its messages stay where they are")
        if plan.target is not None:
            if plan.target == name:
                raise bad_request("target is the queue itself")
            found.find_queue(plan.target)
        if found.redrives.of_queue(queue) is not None:
            raise bad_request(f"queue '{name}' is being redriven already")
        redrive = found.redrives.start(queue, plan)
    return Json(_describe(found, redrive), status_code=202)


@router.get("/redrives/{vhost:name}")
async def list_one(call: Api, vhost: str) -> Answer:
    """List the redrives of a vhost whose queues the user may read; the first is the oldest."""
    found = call.vhost(vhost)
    await call.committed()
    with call.direct(found) as session:
        readable = [
            item for item in found.redrives if await session.may("queue", item.queue.name, "read")
        ]
    return Json([_describe(found, item) for item in readable])


@router.get("/redrives/{vhost:name}/{number}")
async def show(call: Api, vhost: str, number: str) -> Answer:
    """Show how far a redrive is; what has moved is on the disk."""
    found, redrive = await _find(call, vhost, number)
    row = _describe(found, redrive)
    await call.committed()
    return Json(row)


@router.delete("/redrives/{vhost:name}/{number}")
async def cancel(call: Api, vhost: str, number: str) -> Answer:
    """Let a redrive end here; what has moved stays moved."""
    _, redrive = await _find(call, vhost, number)
    redrive.cancel()
    return done()
