"""Transient messages in a durable queue: all of them in order while the broker lives, none later.

The publisher is ahead of the consumer by some hundred kilobytes, so that with a tiny memory budget
most bodies are spilled and read back, and a kill finds files that the next start must remove.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from pamqp import commands

from interop.crash.client import connect

if TYPE_CHECKING:
    from random import Random

    from interop.crash.history import History

QUEUE: Final = "crash.transient"
PUBLISHER: Final = "transient"
AHEAD_MAX: Final = 1000
"""Messages that wait to be consumed, about."""
PREFETCH: Final = 20
PAUSE_S: Final = 0.01


class Transient:
    """The publisher and the consumer of one round."""

    def __init__(self, history: History, random: Random) -> None:
        self._history = history
        self._random = random
        self._sent = 0
        self._seen = 0

    async def publish(self, port: int) -> None:
        """Publish until the broker is gone."""
        connection = await connect(port)
        while True:
            for _ in range(self._random.randint(1, 100)):
                self._sent += 1
                name = f"{PUBLISHER}-{self._sent}"
                connection.publish(name, routing_key=QUEUE, is_persistent=False)
            await asyncio.sleep(PAUSE_S)
            closed = connection.client.closed
            while self._sent - self._seen > AHEAD_MAX and not closed.done():
                await asyncio.wait([closed], timeout=PAUSE_S)

    async def consume(self, port: int) -> None:
        """Consume until the broker is gone; each message must be the one after the last."""
        connection = await connect(port)
        await connection.consume(QUEUE, PREFETCH)
        while True:
            delivery = await connection.next(PAUSE_S)
            if delivery is None:
                continue
            self._history.counts["transient"] += 1
            expected = f"{PUBLISHER}-{self._seen + 1}"
            if delivery.name != expected:
                self._history.problems.append(f"{QUEUE}: {delivery.name} came, not {expected}")
            self._seen = int(delivery.name.rpartition("-")[2])
            connection.ack(delivery.tag)


async def check_gone(port: int, history: History) -> None:
    """See that a restart has left nothing; declares the queue."""
    connection = await connect(port)
    answer = await connection.client.call(commands.Queue.Declare(queue=QUEUE, durable=True))
    assert isinstance(answer, commands.Queue.DeclareOk)
    if answer.message_count:
        history.problems.append(f"{QUEUE}: {answer.message_count} transient messages are back")
    await connection.close()
