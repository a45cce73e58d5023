"""The local random exchange: one queue of this node, drawn by lot (FEATURES A12.8).

It exists since RabbitMQ 4.0. On a single node every queue is local.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqpbroker.errors import precondition_failed
from amqpbroker.routing.types.random_exchange import RandomExchange

if TYPE_CHECKING:
    from amqpbroker.routing.binding import Binding


class LocalRandomExchange(RandomExchange):
    """Leads each message to one of the classic queues bound with the empty key."""

    __slots__ = ()

    type_name = "x-local-random"

    def check_binding(self, binding: Binding) -> None:
        """Raise 406 unless the key is empty and the destination a queue."""
        if binding.binding_key:
            text = f"Non empty binding '{binding.binding_key}' key not permitted"
            raise precondition_failed(text)
        if binding.destination.kind != "queue":
            raise precondition_failed("Destination not found")

    def check_queue_type(self, queue_type: str) -> None:
        """Raise 406 unless the queue is a classic one."""
        if queue_type != "classic":
            text = f"Queue type rabbit_{queue_type}_queue not valid for this exchange type"
            raise precondition_failed(text)
