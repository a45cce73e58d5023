"""The walk of one message through exchanges to queues.

The rules (FEATURES A3.6, A3.10, A3.11), as RabbitMQ has them:

- Each exchange is visited once per message, so cycles end and a queue gets one copy however
  many paths lead to it.
- An exchange that yields no destination hands the message to its alternate exchange. A bound
  exchange is a destination even if it drops the message, and so is one that is gone.
- The default exchange, whose name is empty, leads each key to the queue of that name. That
  holds only for publishing to it: as an alternate exchange it has no bindings and drops.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqpbroker.routing.binding import Destination

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterator, Mapping

    from amqpbroker.routing.exchange import Exchange
    from amqpbroker.routing.message import Routable

DEFAULT_EXCHANGE = ""


def route(
    exchange: Exchange,
    message: Routable,
    exchanges: Mapping[str, Exchange],
    queues: Container[str],
) -> list[str]:
    """Return the names of the queues that get the message, each once, those reached first first.

    ``exchanges`` are those of the vhost by name; ``queues`` holds the names of its queues.
    """
    if exchange.name == DEFAULT_EXCHANGE:
        keys = dict.fromkeys((message.routing_key, *message.extra_keys))
        return [key for key in keys if key in queues]
    names: dict[str, None] = {}
    seen = {exchange.name}
    ahead = [exchange]
    for visited in ahead:
        for kind, name in destinations(visited, message):
            if kind == "queue":
                names[name] = None
            elif name not in seen:
                seen.add(name)
                if name in exchanges:
                    ahead.append(exchanges[name])
    return [name for name in names if name in queues]


def destinations(exchange: Exchange, message: Routable) -> Collection[Destination]:
    """Return where one exchange sends a message, its alternate exchange included.

    A destination may come several times.
    """
    found = exchange.destinations(message, message.routing_key)
    if exchange.is_per_key and message.extra_keys:
        found = [*found]
        for key in message.extra_keys:
            found += exchange.destinations(message, key)
    if not found and exchange.alternate is not None:
        return (Destination("exchange", exchange.alternate),)
    return found


def reachable(exchange: Exchange, exchanges: Mapping[str, Exchange]) -> Iterator[Exchange]:
    """Yield the exchange and all that a message sent to it may pass.

    A route may be cached by routing key if all of these are keyed and the message has no
    extra keys, and by whole message if all of them are stable.
    """
    seen = {exchange.name}
    ahead = [exchange]
    for visited in ahead:
        yield visited
        for name in (*visited.bound_exchanges, visited.alternate):
            if name is not None and name not in seen:
                seen.add(name)
                if name in exchanges:
                    ahead.append(exchanges[name])
