"""The topic exchange: binding keys with wildcards, see ``topic_trie.py`` (FEATURES A12.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amqpbroker.routing.exchange import Exchange
from amqpbroker.routing.topic_trie import TopicTrie

if TYPE_CHECKING:
    from collections.abc import Collection

    from amqpbroker.routing.binding import Binding, Destination
    from amqpbroker.routing.message import Routable


class TopicExchange(Exchange):
    """Leads a key to all destinations whose binding key matches it."""

    __slots__ = ("_trie",)

    type_name = "topic"
    is_per_key = True
    is_keyed = True

    def __init__(self, name: str, **options: Any) -> None:
        """Take the options of :class:`Exchange`."""
        super().__init__(name, **options)
        self._trie = TopicTrie()

    def _added(self, binding: Binding) -> None:
        self._trie.add(binding.binding_key, binding.destination)

    def _removed(self, binding: Binding) -> None:
        self._trie.remove(binding.binding_key, binding.destination)

    def destinations(self, message: Routable, routing_key: str) -> Collection[Destination]:
        """Return the destinations whose binding key matches the routing key."""
        return self._trie.match(routing_key)
