"""A memory budget of ten bodies, and a backlog of four times as many."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from amqpbroker.broker.paging import Pager
    from tests.amqp_bytes import TypedTable
    from tests.broker.client import MemoryClient
    from tests.broker.durable import DurableBroker

LIMIT = 100
BODIES = [b"%09d." % number for number in range(40)]
TO_GRAVE: TypedTable = {
    "x-dead-letter-exchange": ("S", ""),
    "x-dead-letter-routing-key": ("S", "grave"),
}


def pager_of(durable: DurableBroker) -> Pager:
    return durable.journal.pager


def present(client: MemoryClient, queue: str = "q") -> list[bool]:
    """Return which bodies are in memory, in order."""
    return [message.body is not None for message in client.queue(queue).ready]
