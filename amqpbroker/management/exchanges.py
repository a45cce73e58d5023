"""``/exchanges`` (FEATURES A18.9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from amqpbroker.management.call import (
    DEFAULT_EXCHANGE,
    Answer,
    Api,
    Arguments,
    Flag,
    Json,
    created,
    done,
)
from amqpbroker.management.errors import not_found
from amqpbroker.management.listing import respond
from amqpbroker.management.paths import new_router
from amqpbroker.management.values import to_json, to_table
from amqpbroker.wire.methods import ExchangeDeclare, ExchangeDelete

if TYPE_CHECKING:
    from amqpbroker.broker.vhost import VHost
    from amqpbroker.routing.exchange import Exchange

router = new_router()


class Declaration(BaseModel):
    """The body of a PUT."""

    type: str = "direct"
    durable: Flag = False
    auto_delete: Flag = False
    internal: Flag = False
    arguments: Arguments = Field(default_factory=dict)


def exchange_name(segment: str) -> str:
    """Return the name that a segment of a path means."""
    return "" if segment == DEFAULT_EXCHANGE else segment


def describe(item: tuple[VHost, Exchange]) -> dict[str, Any]:
    """Return an exchange as the API shows it."""
    vhost, exchange = item
    row = {
        "arguments": to_json(exchange.arguments),
        "auto_delete": exchange.is_auto_delete,
        "durable": exchange.is_durable,
        "internal": exchange.is_internal,
        "name": exchange.name,
        "type": exchange.type_name,
        "vhost": vhost.name,
    }
    policy = vhost.policies.of_exchange(exchange).policy
    return row if policy is None else {**row, "policy": policy.name}


async def _respond(call: Api, vhosts: list[VHost]) -> Json:
    items = [(vhost, exchange) for vhost in vhosts for exchange in vhost.exchanges.values()]
    return await respond(call, items, describe, key=lambda item: (item[0].name, item[1].name))


@router.get("/exchanges")
async def list_all(call: Api) -> Answer:
    """List the exchanges of all vhosts."""
    return await _respond(call, call.vhosts())


@router.get("/exchanges/{vhost:name}")
async def list_one(call: Api, vhost: str) -> Answer:
    """List the exchanges of a vhost."""
    return await _respond(call, [call.vhost(vhost)])


@router.get("/exchanges/{vhost:name}/{name:name}")
async def show(call: Api, vhost: str, name: str) -> Answer:
    """Show an exchange."""
    found = call.vhost(vhost)
    exchange = found.exchanges.get(exchange_name(name))
    if exchange is None:
        raise not_found()
    return Json({**describe((found, exchange)), "incoming": [], "outgoing": []})


@router.put("/exchanges/{vhost:name}/{name:name}")
async def declare(call: Api, vhost: str, name: str) -> Answer:
    """Declare an exchange."""
    found = call.vhost(vhost)
    body = await call.body(Declaration)
    name = exchange_name(name)
    is_new = name not in found.exchanges
    method = ExchangeDeclare(
        0,
        name,
        body.type,
        passive=False,
        durable=body.durable,
        auto_delete=body.auto_delete,
        internal=body.internal,
        nowait=False,
        arguments=to_table(body.arguments),
    )
    with call.direct(found) as session:
        await session.ask(method)
    return created(is_new)


@router.delete("/exchanges/{vhost:name}/{name:name}")
async def delete(call: Api, vhost: str, name: str) -> Answer:
    """Delete an exchange; with ``if-unused=true`` only one without bindings."""
    found = call.vhost(vhost)
    name = exchange_name(name)
    if name not in found.exchanges:
        raise not_found()
    with call.direct(found) as session:
        await session.ask(ExchangeDelete(0, name, call.query_flag("if-unused"), nowait=False))
    return done()
