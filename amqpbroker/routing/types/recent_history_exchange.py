"""The recent history exchange: a fanout that sends a new destination the last messages.

It keeps the last ``x-recent-history-length`` messages (20 unless told), those with the header
``x-recent-history-no-store: true`` excepted (FEATURES A12.9). Routing a message remembers it;
when a binding is new, the broker sends ``history()`` to its destination.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from amqpbroker.errors import precondition_failed
from amqpbroker.routing.erlang_terms import print_value
from amqpbroker.routing.types.fanout_exchange import FanoutExchange

if TYPE_CHECKING:
    from collections.abc import Collection

    from amqpbroker.routing.binding import Destination
    from amqpbroker.routing.message import Routable

LENGTH_ARGUMENT: Final = "x-recent-history-length"
LENGTH_DEFAULT: Final = 20
NO_STORE_HEADER: Final = "x-recent-history-no-store"
INTEGER_KINDS: Final = frozenset("bsIl")
"""The signed kinds; RabbitMQ refuses the unsigned ones here."""


class RecentHistoryExchange(FanoutExchange):
    """Leads every message to all destinations and keeps the last ones."""

    __slots__ = ("_history",)

    type_name = "x-recent-history"
    is_keyed = False
    is_stable = False

    def __init__(self, name: str, **options: Any) -> None:
        """Take the options of :class:`Exchange`; raises 406 if the length is not positive."""
        super().__init__(name, **options)
        _, length = self.arguments.get(LENGTH_ARGUMENT, ("I", LENGTH_DEFAULT))
        self._history: deque[Routable] = deque(maxlen=length)

    def _check_arguments(self, where: str) -> None:
        kind, length = self.arguments.get(LENGTH_ARGUMENT, ("I", LENGTH_DEFAULT))
        if kind not in INTEGER_KINDS or length < 1:
            raise precondition_failed(
                f"Invalid argument {print_value(kind, length)}, "
                f"'{LENGTH_ARGUMENT}' must be a positive integer"
            )

    def remember(self, message: Routable) -> None:
        """Keep a message, unless its header says not to."""
        if message.headers.get(NO_STORE_HEADER) != ("t", True):
            self._history.append(message)

    def history(self) -> tuple[Routable, ...]:
        """Return the kept messages, oldest first."""
        return tuple(self._history)

    def destinations(self, message: Routable, routing_key: str) -> Collection[Destination]:
        """Remember the message and return all destinations."""
        self.remember(message)
        return self.snapshot()
