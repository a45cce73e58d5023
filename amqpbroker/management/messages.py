"""Publishing to an exchange and fetching from a queue (FEATURES A18.7, A18.8)."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import BaseModel

from amqpbroker.errors import AmqpError, precondition_failed
from amqpbroker.management.call import Answer, Api, Json
from amqpbroker.management.errors import bad_request, of_get, of_publish
from amqpbroker.management.exchanges import exchange_name
from amqpbroker.management.paths import new_router
from amqpbroker.management.values import to_json, to_table
from amqpbroker.wire.content import Publication
from amqpbroker.wire.properties import PROPERTIES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amqpbroker.management.direct import DirectSession

router = new_router()

AckMode = Literal[
    "ack_requeue_true", "ack_requeue_false", "reject_requeue_true", "reject_requeue_false"
]
_OUTCOMES: Final[Mapping[str, str]] = {
    "ack_requeue_true": "requeue",
    "ack_requeue_false": "ack",
    "reject_requeue_true": "requeue",
    "reject_requeue_false": "drop",
}
"""What becomes of fetched messages; ``ack_requeue_true`` puts them back (T28)."""


class Publish(BaseModel):
    """The body of a publish."""

    routing_key: str
    payload: str
    payload_encoding: str
    properties: Any


class Get(BaseModel):
    """The body of a get; a negative ``count`` means all there are."""

    count: int
    ackmode: AckMode
    encoding: str
    truncate: int | None = None


@router.post("/exchanges/{vhost:name}/{name:name}/publish")
async def publish(call: Api, vhost: str, name: str) -> Answer:
    """Publish one message and wait until it is safe; tell whether a queue took it."""
    found = call.vhost(vhost)
    body = await call.body(Publish)
    payload = _decode(body)
    size_max = call.broker.config.message_size_max
    try:
        properties = to_properties(body.properties)
        publication = Publication.of(
            exchange_name(name), body.routing_key, properties, len(payload)
        )
        if len(body.routing_key.encode()) > 255:
            raise bad_request("routing_key is longer than 255 bytes")
    except ValueError:
        raise bad_request("a property is too long or out of range") from None
    try:
        if len(payload) > size_max:
            text = f"message size {len(payload)} is larger than configured max size {size_max}"
            raise precondition_failed(text)
        with call.direct(found) as session:
            return Json({"routed": await session.publish(publication, payload)})
    except AmqpError as error:
        raise of_publish(error) from None


def _decode(body: Publish) -> bytes:
    if body.payload_encoding == "string":
        return body.payload.encode("utf-8", "surrogatepass")
    if body.payload_encoding != "base64":
        raise bad_request(["unsupported_encoding", body.payload_encoding])
    try:
        return base64.b64decode(body.payload, validate=True)
    except (binascii.Error, ValueError):
        raise bad_request(["not_base64", body.payload]) from None


def to_properties(values: Any) -> dict[str, Any]:
    """Return JSON properties as AMQP's; unknown ones are ignored.

    Raises :class:`~amqpbroker.management.errors.ApiError` 400 for one of the wrong type.
    """
    if not isinstance(values, dict):
        values = {}
    properties: dict[str, Any] = {}
    for name, wire_type in PROPERTIES:
        value = values.get(name)
        if value is None:
            continue
        if wire_type == "table":
            if not isinstance(value, dict):
                raise bad_request(["not_table", name])
            properties[name] = to_table(value)
        elif wire_type == "shortstr":
            if not isinstance(value, str):
                raise bad_request(["not_string", name])
            properties[name] = value
        else:
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise bad_request(["not_int", name])
            properties[name] = value
    return properties


@router.post("/queues/{vhost:name}/{name:name}/get")
async def get(call: Api, vhost: str, name: str) -> Answer:
    """Fetch messages from the head of a queue."""
    found = call.vhost(vhost)
    body = await call.body(Get)
    if body.encoding not in ("auto", "base64"):
        raise bad_request("Unsupported encoding. Please use auto or base64.")
    try:
        with call.direct(found) as session:
            await session.permit("queue", name, "read")
            return Json(await _fetch(session, name, body))
    except AmqpError as error:
        raise of_get(error) from None


async def _fetch(session: DirectSession, name: str, body: Get) -> list[dict[str, Any]]:
    queue = session.channel.vhost.queue(name, session)
    rows = [
        {
            "redelivered": ready.redelivered,
            "message_count": len(queue.ready),
            **describe_content(ready.message.publication),
            **describe_payload(content, body.encoding, body.truncate),
        }
        async for ready, content in session.take(queue, body.count)
    ]
    session.settle(_OUTCOMES[body.ackmode])
    return rows


def describe_content(publication: Publication) -> dict[str, Any]:
    """Return how a message was published as the API shows it."""
    return {
        "exchange": publication.exchange,
        "properties": from_properties(publication.properties),
        "routing_key": publication.routing_key,
    }


def describe_payload(
    payload: bytes, encoding: str = "auto", size_max: int | None = None
) -> dict[str, Any]:
    """Return a body as the API shows it, the first ``size_max`` bytes if that is given."""
    text, used = _encode(payload if size_max is None else payload[:size_max], encoding)
    return {"payload": text, "payload_bytes": len(payload), "payload_encoding": used}


def from_properties(properties: Mapping[str, Any]) -> Any:
    """Return AMQP properties as JSON; RabbitMQ writes no properties as an empty list."""
    shown = dict(properties)
    if "headers" in shown:
        shown["headers"] = to_json(shown["headers"])
    return shown or []


def _encode(payload: bytes, encoding: str) -> tuple[str, str]:
    if encoding == "auto":
        try:
            return payload.decode(), "string"
        except UnicodeDecodeError:
            pass
    return base64.b64encode(payload).decode(), "base64"
