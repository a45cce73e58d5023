"""The exchange of a super stream: one stream cut into several, its partitions (FEATURES A11.9).

To RabbitMQ it is a direct exchange with the argument ``x-super-stream``: a partition is bound by
its index, and clients of the stream protocol hash their routing keys themselves. AMQP clients do
not, so here a key that no partition is bound with is hashed the same way (MurmurHash3, 32 bits,
seed 104729, modulo the number of partitions), and the same key always leads to the same partition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from amqpbroker.routing.hashing import key_bytes, murmur3
from amqpbroker.routing.types.direct_exchange import DirectExchange

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from amqpbroker.routing.binding import Binding, Destination
    from amqpbroker.routing.message import Routable

SUPER_STREAM: Final = "x-super-stream"
ORDER: Final = "x-stream-partition-order"
"""Argument of a binding: the index of its partition."""
SEED: Final = 104729
"""Of RabbitMQ's stream clients."""


def is_super_stream(arguments: Mapping[str, tuple[str, Any]]) -> bool:
    """Return whether arguments of a direct exchange make it one of a super stream."""
    return arguments.get(SUPER_STREAM) == ("t", True)


class SuperStreamExchange(DirectExchange):
    """Leads a key to the partition that is bound with it, else to the one that it hashes to."""

    __slots__ = ("_partitions",)

    def __init__(self, name: str, **options: Any) -> None:
        """Take the options of :class:`Exchange`."""
        super().__init__(name, **options)
        self._partitions: list[Destination] | None = []
        """In the order of their indexes; None: to be worked out."""

    def _added(self, binding: Binding) -> None:
        super()._added(binding)
        self._partitions = None

    def _removed(self, binding: Binding) -> None:
        super()._removed(binding)
        self._partitions = None

    def destinations(self, message: Routable, routing_key: str) -> Collection[Destination]:
        """Return the partition of a routing key."""
        bound = super().destinations(message, routing_key)
        if bound:
            return bound
        if self._partitions is None:
            ordered = sorted(self.bindings, key=_index)
            self._partitions = list(dict.fromkeys(binding.destination for binding in ordered))
        if not self._partitions:
            return ()
        return (self._partitions[murmur3(key_bytes(routing_key), SEED) % len(self._partitions)],)


def _index(binding: Binding) -> tuple[int, str]:
    """Return what partitions are ordered by: their index, else their key as a number."""
    order = binding.argument(ORDER)
    if order is not None and isinstance(order[1], int):
        return order[1], binding.binding_key
    key = binding.binding_key
    return (int(key) if key.isdecimal() else 0), key
