"""The modulus hash exchange: the key's hash picks one of the bindings (FEATURES A12.6).

The bindings are sorted by destination first, as on RabbitMQ since 4.3, so that a restart that
restores them in another order routes a key to the same queue. The hash is our own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqpbroker.routing.hashing import hash64, key_bytes
from amqpbroker.routing.snapshot_exchange import SnapshotExchange

if TYPE_CHECKING:
    from collections.abc import Collection

    from amqpbroker.routing.binding import Destination
    from amqpbroker.routing.message import Routable


class ModulusHashExchange(SnapshotExchange):
    """Leads all messages with the same keys to the same destination."""

    __slots__ = ()

    type_name = "x-modulus-hash"
    is_keyed = True

    def _take_snapshot(self) -> tuple[Destination, ...]:
        return tuple(sorted(super()._take_snapshot()))

    def destinations(self, message: Routable, routing_key: str) -> Collection[Destination]:
        """Return the one destination that the routing, CC and BCC keys together lead to."""
        choices = self.snapshot()
        if not choices:
            return ()
        keys = "\0".join((routing_key, *message.extra_keys))
        return (choices[hash64(key_bytes(keys)) % len(choices)],)
