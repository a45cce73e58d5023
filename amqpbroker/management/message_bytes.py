"""How many bytes the messages of one queue have, and where these are.

Nobody counts that while messages come and go, so it is counted when somebody asks, a piece at a
time. Lists of queues leave it out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from anyio.lowlevel import checkpoint

from amqpbroker.broker.stream_queue import StreamQueue

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from amqpbroker.broker.broker import Broker
    from amqpbroker.broker.message import Message
    from amqpbroker.broker.queue import Queue

COUNTED_AT_ONCE: Final = 4096
"""Messages after which clients of AMQP get their turn."""


async def message_bytes(broker: Broker, queue: Queue) -> dict[str, int]:
    """Return what RabbitMQ tells of a queue by these names; of streams nothing.

    What waits to be tried again counts as ready. Bodies count, properties do not.
    """
    if isinstance(queue, StreamQueue):
        return {}
    ready = await _count(list(queue.ready))
    unsettled = await _count(list(_on_loan(broker, queue)))
    ram_size = ready.ram_size + unsettled.ram_size
    paged_size = ready.paged_size + unsettled.paged_size
    return {
        "message_bytes": ram_size + paged_size,
        "message_bytes_ready": ready.ram_size + ready.paged_size,
        "message_bytes_unacknowledged": unsettled.ram_size + unsettled.paged_size,
        "message_bytes_ram": ram_size,
        "message_bytes_paged_out": paged_size,
        "messages_ram": ready.ram + unsettled.ram,
        "messages_ready_ram": ready.ram,
        "messages_unacknowledged_ram": unsettled.ram,
        "messages_paged_out": ready.paged + unsettled.paged,
    }


class _Counts:
    """Messages, and bytes of their bodies."""

    def __init__(self) -> None:
        self.ram = self.paged = self.ram_size = self.paged_size = 0

    def add(self, messages: Iterable[Message]) -> None:
        for message in messages:
            size = message.publication.body_size
            if message.body is None:
                self.paged += 1
                self.paged_size += size
            else:
                self.ram += 1
                self.ram_size += size


async def _count(messages: list[Message]) -> _Counts:
    counts = _Counts()
    for start in range(0, len(messages), COUNTED_AT_ONCE):
        counts.add(messages[start : start + COUNTED_AT_ONCE])
        await checkpoint()
    return counts


def _on_loan(broker: Broker, queue: Queue) -> Iterator[Message]:
    for session in broker.sessions:
        for channel in session.channels.values():
            for delivery in channel.deliveries():
                if delivery.queue is queue:
                    yield delivery.message
