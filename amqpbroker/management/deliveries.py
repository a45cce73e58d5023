"""``/queues/VHOST/NAME/deliveries``: what comes back at its deadline (FEATURES N4).

RabbitMQ has no such paths. A delivery is called by the tags that its consumer knows, so that a
worker which cannot reach its channel (Celery's, say) can ask for more time. Whoever may read a
queue may do both.
"""

from __future__ import annotations

from heapq import nsmallest
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pydantic import BaseModel, Field

from amqpbroker.broker.arguments import EXPIRY_MS_MAX
from amqpbroker.management.call import Answer, Api, Json
from amqpbroker.management.channels import name_of
from amqpbroker.management.errors import bad_request, not_found
from amqpbroker.management.paths import new_router

if TYPE_CHECKING:
    from collections.abc import Iterator

    from amqpbroker.broker.ack_deadlines import AckDeadlines
    from amqpbroker.broker.channel import Channel
    from amqpbroker.broker.message import Delivery
    from amqpbroker.broker.queue import Queue

router = new_router()

COUNT_MAX: Final = 500
"""Deliveries in one answer."""


class Extension(BaseModel):
    """The body of a PUT: milliseconds from now, by default as long as the deadline was."""

    extend_ms: int | None = Field(default=None, ge=0, le=EXPIRY_MS_MAX)
    channel: str | None = None
    """The name of the channel, if several have consumers of one tag."""


class _Held(NamedTuple):
    """A delivery with a deadline, and who holds it."""

    remaining_ms: int
    delivery: Delivery
    channel: Channel
    deadlines: AckDeadlines

    @property
    def consumer_tag(self) -> str:
        """The consumer's tag, empty for a message fetched by basic.get."""
        return "" if self.delivery.consumer is None else self.delivery.consumer.tag


def _find_queue(call: Api, vhost: str, name: str) -> Queue:
    """Return a queue that the user may read.

    Raises :class:`~amqpbroker.management.errors.ApiError` 404, or 401 by way of
    :class:`~amqpbroker.errors.SoftError` 403.
    """
    found = call.vhost(vhost)
    queue = found.queues.get(name)
    if queue is None:
        raise not_found()
    with call.direct(found) as session:
        session.check("queue", name, "read")
    return queue


def _held(call: Api, queue: Queue) -> Iterator[_Held]:
    for session in list(call.broker.sessions):
        for channel in session.channels.values():
            deadlines = channel.deadlines
            if deadlines is None:
                continue
            for tag, delivery in channel.unsettled.items():
                remaining_ms = deadlines.remaining_ms(tag)
                if delivery.queue is queue and remaining_ms is not None:
                    yield _Held(remaining_ms, delivery, channel, deadlines)


def _describe(held: _Held) -> dict[str, Any]:
    return {
        "channel": name_of(held.channel),
        "consumer_tag": held.consumer_tag,
        "delivery_tag": held.delivery.tag,
        "remaining_ms": held.deadlines.remaining_ms(held.delivery.tag),
    }


@router.get("/queues/{vhost:name}/{name:name}/deliveries")
async def list_next(call: Api, vhost: str, name: str) -> Answer:
    """List unsettled deliveries with a deadline, the next ones first."""
    queue = _find_queue(call, vhost, name)
    held = nsmallest(COUNT_MAX, _held(call, queue), key=lambda item: item.remaining_ms)
    return Json([_describe(item) for item in held])


@router.put("/queues/{vhost:name}/{name:name}/deliveries/{consumer_tag:name}/{delivery_tag:int}")
async def extend(call: Api, vhost: str, name: str, consumer_tag: str, delivery_tag: int) -> Answer:
    """Give a delivery more time; 404 if it is settled or back in its queue."""
    queue = _find_queue(call, vhost, name)
    body = await call.body(Extension)
    found = [
        item
        for item in _held(call, queue)
        if (item.delivery.tag, item.consumer_tag) == (delivery_tag, consumer_tag)
        and body.channel in (None, name_of(item.channel))
    ]
    if not found:
        raise not_found()
    if len(found) > 1:
        raise bad_request("several channels have such a delivery: name one of them")
    if not found[0].deadlines.extend(delivery_tag, body.extend_ms):
        raise not_found()
    call.broker.flush()
    return Json(_describe(found[0]))
