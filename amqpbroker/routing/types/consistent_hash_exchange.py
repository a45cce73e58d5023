"""The consistent hash exchange: a hash picks one destination, by weight (FEATURES A12.5).

The binding key is the destination's weight. What is hashed is the routing key, or the header
named by the argument ``hash-header``, or the property named by ``hash-property``; a message
without it is hashed as if it were empty.

The destinations stand on a ring of 64-bit numbers, each at as many points as its weight asks
for, and a message goes to the first point at or after its own hash::

    0 ──a──b─────a──b──a─────b────a── 2^64      hash of message ──► next point ──► queue

A point depends on nothing but the destination's name and a counter, so the same bindings make
the same ring whatever the order, after unbinding and binding again, and after a restart; and
taking a queue away moves only its own messages. (RabbitMQ numbers buckets in order of binding,
so there the hash moves when a queue is bound again.)

A destination counts once: its oldest binding gives the weight.
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_left
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from amqpbroker.errors import precondition_failed
from amqpbroker.routing.erlang_terms import print_key
from amqpbroker.routing.exchange import Exchange
from amqpbroker.routing.hashing import hash64, key_bytes, value_bytes

if TYPE_CHECKING:
    from collections.abc import Collection

    from amqpbroker.routing.binding import Binding, Destination
    from amqpbroker.routing.message import Routable

HASH_HEADER: Final = "hash-header"
HASH_PROPERTY: Final = "hash-property"
HASH_PROPERTIES: Final = frozenset(("correlation_id", "message_id", "timestamp"))

WEIGHT_MAX: Final = 10_000
"""As on RabbitMQ 4.3; before, a huge weight filled the memory."""

POINTS_PER_WEIGHT: Final = 128
"""With two queues of weight 1 the shares are then within about 10% of each other."""

POINTS_MAX: Final = 65_536
"""On one ring, about; more weight than 512 in all gets fewer points per weight."""

_INTEGER: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)
_POINTS: Final = struct.Struct(">8Q")


def _points(destination: Destination, count: int) -> list[int]:
    """Return the first ``count`` points of a destination."""
    seed = key_bytes(f"{destination.kind}\0{destination.name}\0")
    points: list[int] = []
    for block in range(-(-count // 8)):
        points += _POINTS.unpack(blake2b(seed + block.to_bytes(4, "big")).digest())
    return points[:count]


class ConsistentHashExchange(Exchange):
    """Leads messages with the same hash to the same destination."""

    __slots__ = ("_header", "_owners", "_points", "_property")

    type_name = "x-consistent-hash"

    def __init__(self, name: str, **options: Any) -> None:
        """Take the options of :class:`Exchange`; raises 406 on a bad hash argument."""
        self._header: str | None = None
        self._property: str | None = None
        self._points: list[int] | None = None
        self._owners: list[Destination] = []
        super().__init__(name, **options)

    def _check_arguments(self, where: str) -> None:
        self._header = self._name_argument(HASH_HEADER, where)
        self._property = self._name_argument(HASH_PROPERTY, where)
        if self._property is None:
            return
        if self._header is not None:
            text = f"{HASH_HEADER} and {HASH_PROPERTY} are mutually exclusive"
            raise precondition_failed(text)
        if self._property not in HASH_PROPERTIES:
            raise precondition_failed(f"Unsupported property: {self._property}")

    def check_binding(self, binding: Binding) -> None:
        """Raise 406 unless the binding key is an integer from 1 to ``WEIGHT_MAX``."""
        key = binding.binding_key
        if not _INTEGER.fullmatch(key):
            raise precondition_failed(f"The binding key must be an integer: {print_key(key)}")
        if int(key) < 1:
            raise precondition_failed("The binding key must be greater than 0")
        if int(key) > WEIGHT_MAX:
            raise precondition_failed(f"The binding key must not exceed {WEIGHT_MAX}")

    def _added(self, binding: Binding) -> None:
        self._points = None

    _removed = _added

    def _build_ring(self) -> list[int]:
        """Place the destinations on the ring and return the points."""
        weights: dict[Destination, int] = {}
        for binding in self.bindings:
            weights.setdefault(binding.destination, int(binding.binding_key))
        total = sum(weights.values())
        ring: list[tuple[int, Destination]] = []
        for destination, weight in weights.items():
            count = min(weight * POINTS_PER_WEIGHT, weight * POINTS_MAX // total)
            ring += [(point, destination) for point in _points(destination, max(count, 1))]
        ring.sort()
        self._owners = [destination for _, destination in ring]
        self._points = [point for point, _ in ring]
        return self._points

    def _hash(self, message: Routable) -> int:
        """Return the message's place on the ring."""
        if self._header is not None:
            return hash64(value_bytes(*message.headers.get(self._header, ("S", b""))))
        if self._property is not None:
            value = message.property(self._property)
            return hash64(b"" if value is None else key_bytes(str(value)))
        return hash64(key_bytes(message.routing_key))

    def destinations(self, message: Routable, routing_key: str) -> Collection[Destination]:
        """Return the one destination at or after the message's place; CC and BCC do not count."""
        points = self._build_ring() if self._points is None else self._points
        if not points:
            return ()
        return (self._owners[bisect_left(points, self._hash(message)) % len(points)],)
