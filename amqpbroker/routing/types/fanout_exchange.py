"""The fanout exchange: every destination, whatever the key (FEATURES A12.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqpbroker.routing.snapshot_exchange import SnapshotExchange

if TYPE_CHECKING:
    from collections.abc import Collection

    from amqpbroker.routing.binding import Destination
    from amqpbroker.routing.message import Routable


class FanoutExchange(SnapshotExchange):
    """Leads every message to all destinations."""

    __slots__ = ()

    type_name = "fanout"
    is_keyed = True

    def _take_snapshot(self) -> tuple[Destination, ...]:
        return tuple(dict.fromkeys(super()._take_snapshot()))

    def destinations(self, message: Routable, routing_key: str) -> Collection[Destination]:
        """Return all destinations."""
        return self.snapshot()
