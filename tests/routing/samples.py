"""Messages and bindings for the tests of this folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from amqpbroker.routing.binding import Binding, Destination, freeze_arguments
from amqpbroker.routing.registry import create_exchange
from amqpbroker.routing.route import route

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from amqpbroker.routing.exchange import Exchange


NEEDED_ARGUMENTS: Mapping[str, Mapping[str, tuple[str, Any]]] = {
    "x-message-deduplication": {"x-cache-size": ("I", 9)}
}
"""Exchange type → arguments without which it is refused."""


@dataclass
class PlainMessage:
    """Nothing but what routing needs."""

    routing_key: str = ""
    extra_keys: Sequence[str] = ()
    headers: Mapping[str, tuple[str, Any]] = field(default_factory=dict)
    properties: Mapping[str, object] = field(default_factory=dict)

    def property(self, name: str) -> object | None:
        return self.properties.get(name)


class Anything:
    """Holds every name."""

    def __contains__(self, _: object) -> bool:
        return True


def to_queue(name: str, binding_key: str = "", **arguments: tuple[str, Any]) -> Binding:
    """Return a binding to a queue; ``x_match`` stands for the argument x-match."""
    table = {key.replace("_", "-"): value for key, value in arguments.items()}
    return Binding("x", Destination("queue", name), binding_key, freeze_arguments(table))


def to_exchange(name: str, binding_key: str = "") -> Binding:
    """Return a binding to an exchange."""
    return Binding("x", Destination("exchange", name), binding_key)


def exchange_of(type_name: str, *bindings: Binding, name: str = "x", **options: Any) -> Exchange:
    """Return an exchange with bindings."""
    if "arguments" not in options and type_name in NEEDED_ARGUMENTS:
        options["arguments"] = NEEDED_ARGUMENTS[type_name]
    exchange = create_exchange(type_name, name, **options)
    for binding in bindings:
        exchange.check_binding(binding)
        exchange.bind(binding)
    return exchange


def queues_of(
    exchange: Exchange, message: PlainMessage, others: Sequence[Exchange] = ()
) -> list[str]:
    """Return the queues that get the message, in any vhost whose queues all exist."""
    exchanges = {other.name: other for other in (exchange, *others)}
    return route(exchange, message, exchanges, Anything())
