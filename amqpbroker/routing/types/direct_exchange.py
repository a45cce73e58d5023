"""The direct exchange: the binding key equals the routing key, byte for byte (FEATURES A12.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amqpbroker.routing.exchange import Exchange

if TYPE_CHECKING:
    from collections.abc import Collection

    from amqpbroker.routing.binding import Binding, Destination
    from amqpbroker.routing.message import Routable


class DirectExchange(Exchange):
    """Leads a key to all destinations bound with it."""

    __slots__ = ("_by_key",)

    type_name = "direct"
    is_per_key = True
    is_keyed = True

    def __init__(self, name: str, **options: Any) -> None:
        """Take the options of :class:`Exchange`."""
        super().__init__(name, **options)
        self._by_key: dict[str, dict[Binding, None]] = {}

    def _added(self, binding: Binding) -> None:
        self._by_key.setdefault(binding.binding_key, {})[binding] = None

    def _removed(self, binding: Binding) -> None:
        bindings = self._by_key[binding.binding_key]
        del bindings[binding]
        if not bindings:
            del self._by_key[binding.binding_key]

    def destinations(self, message: Routable, routing_key: str) -> Collection[Destination]:
        """Return the destinations bound with the routing key."""
        return [binding.destination for binding in self._by_key.get(routing_key, ())]
