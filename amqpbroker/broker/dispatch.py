"""How a queue hands out messages where it is not simply the first one to whose turn it is.

An ordinary queue has no dispatch. One that has is asked whenever messages or room for them may have
come, and learns what becomes of every loan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from amqpbroker.broker.message import Delivery
    from amqpbroker.broker.ready import Ready


class Dispatch(Protocol):
    """Who gets which message of one queue; it comes with a kind of ready messages of its own."""

    def deliver(self) -> None:
        """Deliver all that may be delivered now."""

    def get(self) -> Ready | None:
        """Take a message for basic.get, None if there is none that may be taken."""

    def lent(self, loans: Sequence[Delivery]) -> None:
        """Messages have been taken and are to be settled."""

    def settled(self, deliveries: Iterable[Delivery]) -> None:
        """Messages on loan are gone for good; those that are requeued come to ready instead."""

    def consumers_changed(self) -> None:
        """A consumer has come or left."""
