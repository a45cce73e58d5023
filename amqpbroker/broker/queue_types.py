"""The types of queues that there are, by the names of ``x-queue-type``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from amqpbroker.broker.arguments import queue_type
from amqpbroker.broker.queue import Queue
from amqpbroker.broker.quorum_queue import QuorumQueue
from amqpbroker.broker.stream_queue import StreamQueue

if TYPE_CHECKING:
    from amqpbroker.wire.table import Table

QUEUE_CLASSES: Final[dict[str, type[Queue]]] = {
    "classic": Queue,
    "quorum": QuorumQueue,
    "stream": StreamQueue,
}


def create_queue(name: str, *, arguments: Table, **fields: Any) -> Queue:
    """Make a queue of the type that (checked) arguments ask for."""
    return QUEUE_CLASSES[queue_type(arguments)](name, arguments=arguments, **fields)
