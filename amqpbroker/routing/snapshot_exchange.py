"""Exchange types that pick from all their destinations: the list is made once per change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amqpbroker.routing.exchange import Exchange

if TYPE_CHECKING:
    from amqpbroker.routing.binding import Binding, Destination


class SnapshotExchange(Exchange):
    """Keeps a tuple of destinations, made at the first message after a binding changed.

    So n bindings in a row cost O(n), not O(n^2), and a message costs no copy.
    """

    __slots__ = ("_snapshot",)

    def __init__(self, name: str, **options: Any) -> None:
        """Take the options of :class:`Exchange`."""
        super().__init__(name, **options)
        self._snapshot: tuple[Destination, ...] | None = None

    def _added(self, binding: Binding) -> None:
        self._snapshot = None

    _removed = _added

    def snapshot(self) -> tuple[Destination, ...]:
        """Return the destinations to pick from."""
        if self._snapshot is None:
            self._snapshot = self._take_snapshot()
        return self._snapshot

    def _take_snapshot(self) -> tuple[Destination, ...]:
        """Return one destination per binding, in the order of the bindings."""
        return tuple(binding.destination for binding in self.bindings)
