"""``/delayed``: the messages that are to come later (FEATURES N2). RabbitMQ has no such paths.

A message is called by its id, a string of digits that no JavaScript rounds; it is another one after
the message was rescheduled. Whoever may read an exchange sees what waits for it, whoever may write
to it may cancel and reschedule.
"""

from __future__ import annotations

from heapq import nsmallest
from typing import TYPE_CHECKING, Any, Final

from anyio import to_thread
from pydantic import BaseModel, Field

from amqpbroker.broker.arguments import EXPIRY_MS_MAX
from amqpbroker.management.call import Answer, Api, Json, done
from amqpbroker.management.errors import bad_request, not_found
from amqpbroker.management.messages import describe_content, describe_payload
from amqpbroker.management.paths import new_router

if TYPE_CHECKING:
    from amqpbroker.auth.permissions import Permission
    from amqpbroker.broker.delayed import Pending
    from amqpbroker.broker.vhost import VHost

router = new_router()

COUNT: Final = 100
COUNT_MAX: Final = 500
"""Messages in one answer."""
_ID_DIGITS_MAX: Final = 40


class Reschedule(BaseModel):
    """The body of a PUT: when the message is to come, in ms since 1970."""

    deliver_at: int = Field(ge=0)


def _id_of(text: str) -> int:
    """Return the number that an id is, -1 if it is none: no message has it."""
    is_id = text.isascii() and text.isdigit() and len(text) <= _ID_DIGITS_MAX
    return int(text) if is_id else -1


def _describe(item: Pending, vhost: str) -> dict[str, Any]:
    return {
        "deliver_at": item.due_ms,
        "id": str(item.id),
        "payload_bytes": item.publication.body_size,
        "vhost": vhost,
        **describe_content(item.publication),
    }


async def _find(call: Api, vhost: VHost, message_id: str, permission: Permission) -> Pending:
    """Return a message that the user has a permission for.

    Raises :class:`~amqpbroker.management.errors.ApiError` 404, or 401 by way of
    :class:`~amqpbroker.errors.SoftError` 403.
    """
    item = vhost.delayed.find(_id_of(message_id))
    if item is None:
        raise not_found()
    with call.direct(vhost) as session:
        await session.permit("exchange", item.publication.exchange, permission)
    return item


@router.get("/delayed/{vhost:name}")
async def list_next(call: Api, vhost: str) -> Answer:
    """List messages in the order of their times: ``count`` of them, those ``after`` an id.

    ``next`` is the id to go on after, null if these were the last.
    """
    found = call.vhost(vhost)
    query = call.request.query_params
    try:
        count = int(query.get("count", COUNT))
    except ValueError:
        count = 0
    if not 1 <= count <= COUNT_MAX:
        raise bad_request(f"count must be a number from 1 to {COUNT_MAX}")
    after = _id_of(query.get("after", "0"))
    ids = found.delayed.ids()
    # Ids of a million messages take a tenth of a second to look through: clients go on meanwhile.
    shown = await to_thread.run_sync(nsmallest, count, (item for item in ids if item > after))
    with call.direct(found) as session:
        items = [item for item in map(found.delayed.find, shown) if item is not None]
        readable = [
            item
            for item in items
            if await session.may("exchange", item.publication.exchange, "read")
        ]
    rows = [_describe(item, vhost) for item in readable]
    following = str(shown[-1]) if len(shown) == count else None
    return Json({"items": rows, "next": following, "total_count": len(ids)})


@router.get("/delayed/{vhost:name}/{message_id}")
async def show(call: Api, vhost: str, message_id: str) -> Answer:
    """Show a message with its payload."""
    item = await _find(call, call.vhost(vhost), message_id, "read")
    content = call.vhost(vhost).delayed.body(item.id) or b""
    return Json({**_describe(item, vhost), **describe_payload(content)})


@router.put("/delayed/{vhost:name}/{message_id}")
async def reschedule(call: Api, vhost: str, message_id: str) -> Answer:
    """Let a message come at another time; answer with its new id."""
    found = call.vhost(vhost)
    body = await call.body(Reschedule)
    if body.deliver_at > call.broker.timers.wall_ms() + EXPIRY_MS_MAX:
        raise bad_request("deliver_at is more than ten years ahead")
    item = await _find(call, found, message_id, "write")
    changed = found.delayed.reschedule(item.id, body.deliver_at)
    if changed is None:
        raise not_found()  # it came while permissions were asked for
    await call.committed()
    return Json({"deliver_at": body.deliver_at, "id": str(changed)})


@router.delete("/delayed/{vhost:name}/{message_id}")
async def cancel(call: Api, vhost: str, message_id: str) -> Answer:
    """Let a message never come."""
    found = call.vhost(vhost)
    found.delayed.cancel((await _find(call, found, message_id, "write")).id)
    await call.committed()
    return done()
