"""``/vhosts`` (FEATURES A18.11)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel

from amqpbroker.auth.principal import ADMINISTRATOR
from amqpbroker.management import accounts
from amqpbroker.management.call import Answer, Api, Json, Tags, created, done
from amqpbroker.management.errors import not_found
from amqpbroker.management.listing import respond
from amqpbroker.management.overview import message_totals
from amqpbroker.management.paths import new_router

if TYPE_CHECKING:
    from amqpbroker.broker.vhost import VHost

router = new_router()


class Description(BaseModel):
    """The body of a PUT; what is not in it stays as it is."""

    description: str | None = None
    tags: Tags = None
    default_queue_type: Literal["classic", "quorum", "stream", "undefined"] | None = None


def described(vhost: VHost) -> dict[str, Any]:
    """Return the name of a vhost and what it says of itself, twice as RabbitMQ does."""
    metadata = vhost.metadata
    values: dict[str, Any] = {"description": metadata.description, "tags": list(metadata.tags)}
    if metadata.default_queue_type is not None:
        values["default_queue_type"] = metadata.default_queue_type
    return {"name": vhost.name, **values, "metadata": values}


def describe(call: Api, vhost: VHost) -> dict[str, Any]:
    """Return a vhost as the API shows it."""
    return {
        "default_queue_type": "undefined",
        **described(vhost),
        "tracing": False,
        "cluster_state": {call.node: "running"},
        **message_totals([vhost]),
    }


def _find(call: Api, name: str) -> VHost:
    vhost = call.broker.vhosts.get(name)
    if vhost is None:
        raise not_found()
    return vhost


@router.get("/vhosts")
async def list_all(call: Api) -> Answer:
    """List the vhosts that the user may enter."""
    return await respond(
        call,
        call.vhosts(),
        lambda vhost: describe(call, vhost),
        key=lambda vhost: (vhost.name,),
    )


@router.get("/vhosts/{name:name}")
async def show(call: Api, name: str) -> Answer:
    """Show a vhost."""
    call.require(ADMINISTRATOR)
    return Json(describe(call, _find(call, name)))


@router.put("/vhosts/{name:name}")
async def create(call: Api, name: str) -> Answer:
    """Make a vhost, or describe it; whoever makes it gets all permissions there."""
    call.require(ADMINISTRATOR)
    body = await call.body(Description)
    is_new = name not in call.broker.vhosts
    if is_new:
        await accounts.add_vhost(call.broker, name, call.principal.username)
    await accounts.describe_vhost(call.broker, _find(call, name), _changes(body))
    return created(is_new)


def _changes(body: Description) -> dict[str, Any]:
    changes: dict[str, Any] = body.model_dump(exclude_none=True)
    if body.tags is not None:
        changes["tags"] = tuple(body.tags)
    if body.default_queue_type == "undefined":
        changes["default_queue_type"] = None
    return changes


@router.delete("/vhosts/{name:name}")
async def delete(call: Api, name: str) -> Answer:
    """Delete a vhost with all that is in it; its connections are closed."""
    call.require(ADMINISTRATOR)
    await accounts.delete_vhost(call.broker, _find(call, name))
    return done()
