"""A program that changes a catalog until it is killed, and says what it was promised.

It writes lines: ``id N`` before anything else is done with the id, ``put N`` and ``deleted N`` once
the change is acknowledged.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import anyio

from amqpbroker.storage.catalog import Catalog
from amqpbroker.storage.catalog.rows import BindingRow, ExchangeRow, QueueRow, VHostRow

CLIENTS = 8


def say(word: str, queue_id: int) -> None:
    os.write(sys.stdout.fileno(), f"{word} {queue_id}\n".encode())


async def client(catalog: Catalog) -> None:
    while True:
        queue_id = catalog.next_queue_id()
        say("id", queue_id)
        catalog.put_queue(QueueRow(queue_id, "/", f"q{queue_id}", False, b""))
        binding = BindingRow("/", "amq.direct", "queue", f"q{queue_id}", "k", b"")
        await catalog.put_binding(binding).wait()
        say("put", queue_id)
        if queue_id % 3 == 0:
            await catalog.delete_queue(queue_id).wait()
            say("deleted", queue_id)


async def main(path: Path) -> None:
    async with await Catalog.open(path) as catalog, anyio.create_task_group() as tasks:
        tasks.start_soon(catalog.run)
        catalog.put_vhost(VHostRow("/", "{}", "{}", is_tracing=False))
        catalog.put_exchange(ExchangeRow("/", "amq.direct", "direct", False, False, b""))
        for _ in range(CLIENTS):
            tasks.start_soon(client, catalog)


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]))
