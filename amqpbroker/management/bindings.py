"""``/bindings`` and the bindings of a queue or an exchange (FEATURES A18.9, A18.10).

Within source and destination a binding is named by its ``properties_key``: the binding key, and
after a ``~`` a hash of the arguments if there are any; ``~`` alone for neither. Clients take it
from a list and hand it back. It is percent-encoded itself, so that in a path it is encoded twice.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, unquote_plus

from pydantic import BaseModel, Field

from amqpbroker.management.call import Answer, Api, Arguments, Json, created, done
from amqpbroker.management.errors import not_found
from amqpbroker.management.exchanges import exchange_name
from amqpbroker.management.listing import respond
from amqpbroker.management.paths import new_router
from amqpbroker.management.values import as_table, to_json, to_table
from amqpbroker.routing.binding import Binding, Destination, freeze_arguments, thaw_arguments
from amqpbroker.wire.methods import ExchangeBind, ExchangeUnbind, QueueBind, QueueUnbind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from amqpbroker.broker.vhost import VHost
    from amqpbroker.wire.codec import Method
    from amqpbroker.wire.table import Table

router = new_router()


class Declaration(BaseModel):
    """The body of a POST."""

    routing_key: str = ""
    arguments: Arguments = Field(default_factory=dict)


def properties_key(binding: Binding) -> str:
    """Return what names a binding among those of the same source and destination."""
    key = quote_plus(binding.binding_key, errors="surrogateescape").replace("~", "%7E")
    if not binding.arguments:
        return key or "~"
    digest = hashlib.blake2b(repr(binding.arguments).encode(), digest_size=6).digest()
    return f"{key}~{base64.urlsafe_b64encode(digest).decode()}"


def describe(item: tuple[VHost, Binding]) -> dict[str, Any]:
    """Return a binding as the API shows it."""
    vhost, binding = item
    return {
        "source": binding.source,
        "vhost": vhost.name,
        "destination": binding.destination.name,
        "destination_type": binding.destination.kind,
        "routing_key": binding.binding_key,
        "arguments": to_json(thaw_arguments(binding.arguments)),
        "properties_key": properties_key(binding),
    }


def default_binding(queue: str) -> Binding:
    """Return the binding that every queue has to the default exchange."""
    return Binding("", Destination("queue", queue), queue)


def all_bindings(vhost: VHost) -> Iterator[Binding]:
    """Yield the bindings of a vhost, those of the default exchange first."""
    yield from map(default_binding, vhost.queues)
    for exchange in vhost.exchanges.values():
        yield from exchange.bindings


def _to(vhost: VHost, destination: Destination) -> Iterator[Binding]:
    if destination.kind == "queue" and destination.name in vhost.queues:
        yield default_binding(destination.name)
    yield from vhost.bindings_to(destination)


def _between(vhost: VHost, source: str, destination: Destination) -> list[Binding]:
    return [binding for binding in _to(vhost, destination) if binding.source == source]


async def _respond(call: Api, items: Iterable[tuple[VHost, Binding]]) -> Json:
    return await respond(
        call,
        items,
        describe,
        key=lambda item: (item[0].name, item[1].source, item[1].destination.name),
    )


@router.get("/bindings")
async def list_all(call: Api) -> Answer:
    """List the bindings of all vhosts."""
    items = [(vhost, item) for vhost in call.vhosts() for item in all_bindings(vhost)]
    return await _respond(call, items)


@router.get("/bindings/{vhost:name}")
async def list_one(call: Api, vhost: str) -> Answer:
    """List the bindings of a vhost."""
    found = call.vhost(vhost)
    return await _respond(call, [(found, item) for item in all_bindings(found)])


@router.get("/queues/{vhost:name}/{name:name}/bindings")
async def list_of_queue(call: Api, vhost: str, name: str) -> Answer:
    """List the bindings that lead to a queue."""
    found = call.vhost(vhost)
    bindings = _to(found, Destination("queue", name))
    return await _respond(call, [(found, item) for item in bindings])


@router.get("/exchanges/{vhost:name}/{name:name}/bindings/source")
async def list_of_source(call: Api, vhost: str, name: str) -> Answer:
    """List the bindings that lead from an exchange."""
    found = call.vhost(vhost)
    source = exchange_name(name)
    bindings = [item for item in all_bindings(found) if item.source == source]
    return await _respond(call, [(found, item) for item in bindings])


@router.get("/exchanges/{vhost:name}/{name:name}/bindings/destination")
async def list_of_destination(call: Api, vhost: str, name: str) -> Answer:
    """List the bindings that lead to an exchange."""
    found = call.vhost(vhost)
    bindings = _to(found, Destination("exchange", exchange_name(name)))
    return await _respond(call, [(found, item) for item in bindings])


def _destination(kind: str, name: str) -> Destination:
    if kind == "q":
        return Destination("queue", name)
    if kind == "e":
        return Destination("exchange", exchange_name(name))
    raise not_found()


@router.get("/bindings/{vhost:name}/e/{source:name}/{kind:name}/{name:name}")
async def list_between(call: Api, vhost: str, source: str, kind: str, name: str) -> Answer:
    """List the bindings from an exchange to a queue (``q``) or an exchange (``e``)."""
    found = call.vhost(vhost)
    bindings = _between(found, exchange_name(source), _destination(kind, name))
    return await _respond(call, [(found, item) for item in bindings])


@router.post("/bindings/{vhost:name}/e/{source:name}/{kind:name}/{name:name}")
async def bind(call: Api, vhost: str, source: str, kind: str, name: str) -> Answer:
    """Add a binding; its path is in the answer's header ``Location``."""
    found = call.vhost(vhost)
    body = await call.body(Declaration)
    destination = _destination(kind, name)
    arguments = to_table(body.arguments)
    exchange = exchange_name(source)
    with call.direct(found) as session:
        await session.ask(_bind(exchange, destination, body.routing_key, arguments))
    binding = Binding(exchange, destination, body.routing_key, freeze_arguments(arguments))
    location = "/".join(quote(part, safe="") for part in (name, properties_key(binding)))
    return created(True, location)


def _bind(source: str, destination: Destination, key: str, arguments: Table) -> Method:
    if destination.kind == "queue":
        return QueueBind(0, destination.name, source, key, nowait=False, arguments=arguments)
    return ExchangeBind(0, destination.name, source, key, nowait=False, arguments=arguments)


def _unbind(binding: Binding) -> Method:
    destination, key = binding.destination, binding.binding_key
    arguments = as_table(thaw_arguments(binding.arguments))
    if destination.kind == "queue":
        return QueueUnbind(0, destination.name, binding.source, key, arguments)
    return ExchangeUnbind(
        0, destination.name, binding.source, key, nowait=False, arguments=arguments
    )


def _find(bindings: list[Binding], key: str) -> Binding:
    """Return the binding that a key names; a client may have decoded it once too often."""
    for binding in bindings:
        if properties_key(binding) == key:
            return binding
    for binding in bindings:
        if unquote_plus(properties_key(binding)) == unquote_plus(key):
            return binding
    raise not_found()


@router.get("/bindings/{vhost:name}/e/{source:name}/{kind:name}/{name:name}/{key:name}")
async def show(call: Api, vhost: str, source: str, kind: str, name: str) -> Answer:
    """Show a binding."""
    found = call.vhost(vhost)
    bindings = _between(found, exchange_name(source), _destination(kind, name))
    return Json(describe((found, _find(bindings, call.request.path_params["key"]))))


@router.delete("/bindings/{vhost:name}/e/{source:name}/{kind:name}/{name:name}/{key:name}")
async def unbind(call: Api, vhost: str, source: str, kind: str, name: str) -> Answer:
    """Remove a binding."""
    found = call.vhost(vhost)
    bindings = _between(found, exchange_name(source), _destination(kind, name))
    binding = _find(bindings, call.request.path_params["key"])
    with call.direct(found) as session:
        await session.ask(_unbind(binding))
    return done()
