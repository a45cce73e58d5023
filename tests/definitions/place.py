"""A database and a disk in memory, on which brokers live one after the other."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from amqpbroker.broker.opening import Ground, open_on
from amqpbroker.config import Config
from amqpbroker.storage.executor import InlineExecutor
from amqpbroker.storage.fake_disk import FakeDisk
from amqpbroker.storage.options import LogOptions
from amqpbroker.testing.database import MemoryDatabase

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from amqpbroker.broker.broker import Broker


class Place:
    """See the module."""

    def __init__(self) -> None:
        self.database = MemoryDatabase()
        self._disk = FakeDisk()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Broker]:
        """Run a broker; what it starts with is stored when it is handed out."""
        ground = Ground(self.database, self._disk, LogOptions(), executor=InlineExecutor())
        async with open_on(ground, Config()) as broker:
            assert broker.store is not None
            ticket = broker.store.take_ticket()
            if ticket is not None:
                await ticket.wait()
            yield broker
