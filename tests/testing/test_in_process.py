"""A whole broker in virtual time: clients, heartbeats, deadlines, restarts."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import pytest

from amqpbroker.broker.opening import Ground
from amqpbroker.config import Config
from amqpbroker.storage.executor import InlineExecutor
from amqpbroker.storage.fake_disk import FakeDisk
from amqpbroker.storage.options import LogOptions
from amqpbroker.testing.database import MemoryDatabase
from amqpbroker.testing.in_process import InOrder, MemoryListener, in_process
from amqpbroker.testing.virtual_loop import run, virtual_clock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from amqpbroker.testing.in_process import InProcessBroker

CONFIG = Config(is_memory=True)
PROTOCOL_HEADER = b"AMQP\0\0\x09\1"


class Place:
    """Where brokers live one after the other."""

    def __init__(self) -> None:
        self.disk = FakeDisk()
        self.database = MemoryDatabase()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[InProcessBroker]:
        clock = virtual_clock()
        options = LogOptions(now_ms=clock.wall_ms, monotonic=clock.now)
        ground = Ground(self.database, self.disk, options, clock, InlineExecutor())
        async with in_process(ground, CONFIG) as broker:
            yield broker


def test_it_answers_at_once() -> None:
    async def greet() -> bytes:
        got: list[bytes] = []
        async with Place().running() as broker:
            broker.connect(got.append).write(PROTOCOL_HEADER)
            await anyio.sleep(0.001)
        return b"".join(got)

    assert b"AMQPLAIN" in run(greet)


def test_deadlines_are_kept_in_virtual_time() -> None:
    async def linger() -> float:
        async with Place().running() as broker:
            ended = anyio.Event()
            stream = broker.connect(lambda data: None)
            stream.on_end = ended.set
            stream.write(PROTOCOL_HEADER)
            before = anyio.current_time()
            await ended.wait()
            return anyio.current_time() - before

    assert 10 <= run(linger) <= 11


def test_the_end_hangs_up_on_clients() -> None:
    async def stop() -> list[bool]:
        ends: list[bool] = []
        async with Place().running() as broker:
            stream = broker.connect(lambda data: None)
            stream.on_end = lambda: ends.append(True)
            await anyio.sleep(1)
        return ends

    assert run(stop) == [True]


def test_definitions_outlive_a_broker() -> None:
    async def restart() -> list[str]:
        place = Place()
        async with place.running() as first:
            first.broker.add_vhost("more")
        async with place.running() as second:
            return list(second.broker.vhosts)

    assert run(restart) == ["/", "more"]


def test_a_broker_that_is_not_there_refuses() -> None:
    async def connect() -> None:
        listener = MemoryListener()
        with pytest.raises(ConnectionRefusedError):
            listener.connect(lambda data: None)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, lambda stream: None)
            await listener.is_ready.wait()
            await listener.aclose()
        with pytest.raises(ConnectionRefusedError):
            listener.connect(lambda data: None)

    run(connect)


def test_a_set_in_order() -> None:
    items: InOrder[str] = InOrder()
    for item in ("c", "a", "b", "a"):
        items.add(item)
    items.discard("a")
    items.discard("x")
    assert (list(items), len(items), "c" in items, "a" in items) == (["c", "b"], 2, True, False)
