"""Jobs of streams, and where streams are kept (FEATURES A11.4)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import anyio
import pytest
from pamqp import commands

from amqpbroker.broker.settings import QueueSettings
from amqpbroker.broker.stream import Stream
from amqpbroker.broker.streams import (
    IDLE_S,
    OPEN_COUNT_MAX,
    SEGMENT_SIZE_MAX,
    SEGMENT_SIZE_MIN,
    Streams,
)
from amqpbroker.broker.timers import Timers
from amqpbroker.storage.executor import InlineExecutor
from amqpbroker.storage.fake_disk import FakeDisk
from amqpbroker.storage.log import Corrupt, LogError, LogMissing, LogUnavailable
from amqpbroker.storage.options import LogOptions
from amqpbroker.storage.segment_log import SegmentLog
from amqpbroker.testing.virtual_loop import run, virtual_clock
from amqpbroker.wire.content import Publication
from tests.amqp_bytes import properties
from tests.broker.durable import DurableBroker, running

if TYPE_CHECKING:
    from pamqp.common import FieldTable

    from tests.broker.client import MemoryClient

LETTER = Publication.of("", "k", {}, 1)


class FakeStorage:
    """Streams on imaginary disks."""

    def __init__(self) -> None:
        self.disks: dict[int, FakeDisk] = {}
        self.opened: list[tuple[int, int]] = []
        self.is_closed = False
        self.tracked: dict[int, bytes] = {}

    async def open(self, number: int, segment_size: int) -> SegmentLog:
        self.opened.append((number, segment_size))
        disk = self.disks.setdefault(number, FakeDisk())
        options = LogOptions(segment_size=segment_size)
        try:
            return await SegmentLog.open(disk, options, executor=InlineExecutor())
        except LogMissing:
            return await SegmentLog.create(disk, options, executor=InlineExecutor())

    async def remove(self, number: int) -> None:
        self.disks.pop(number, None)

    async def numbers(self) -> list[int]:
        return list(self.disks)

    async def load_tracked(self, number: int) -> bytes:
        return self.tracked.get(number, b"{}")

    async def store_tracked(self, number: int, data: bytes) -> None:
        self.tracked[number] = data

    def close(self) -> None:
        self.is_closed = True


def make_streams() -> tuple[Streams, FakeStorage]:
    streams = Streams(Timers(lambda: None, *virtual_clock()), lambda: None)
    streams.storage = storage = FakeStorage()
    return streams, storage


def test_an_idle_stream_has_no_files_and_no_timer() -> None:
    async def idle() -> tuple[list[bool], int]:
        streams, storage = make_streams()
        states = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(streams.run)
            tasks.start_soon(streams.timers.run)
            stream = Stream(streams, "s", 1, QueueSettings())
            states.append(stream.partition.is_open)
            stream.stage(LETTER, [b"x"], 1)
            await stream.commit()
            for delay_s in (0, IDLE_S / 2):
                await anyio.sleep(delay_s)
                states.append(stream.partition.is_open)
            async with stream.used():
                await anyio.sleep(3 * IDLE_S)
                states.append(stream.partition.is_open)
            await anyio.sleep(2 * IDLE_S)
            states.append(stream.partition.is_open)
            left = len(streams.timers)
            stream.stage(LETTER, [b"y"], 1)
            await stream.commit()
            assert len(stream) == 2
            await streams.close()
            states.append(stream.partition.is_open)
            assert storage.is_closed
            tasks.cancel_scope.cancel()
        return states, left

    assert run(idle) == ([False, True, True, True, False, False], 0)


def test_only_so_many_streams_have_open_files() -> None:
    async def use_many() -> list[bool]:
        streams, _ = make_streams()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(streams.run)
            small = QueueSettings(segment_size=4096)
            many = [Stream(streams, "s", n, small) for n in range(OPEN_COUNT_MAX + 3)]
            for stream in many:
                stream.stage(LETTER, [b"x"], 1)
                await stream.commit()
            await anyio.sleep(0.1)
            tasks.cancel_scope.cancel()
        return [stream.partition.is_open for stream in many]

    assert run(use_many) == [False] * 3 + [True] * OPEN_COUNT_MAX


@pytest.mark.parametrize(
    ("wanted", "size"),
    [(None, 16 << 20), (1, SEGMENT_SIZE_MIN), (100_000, 100_000), (1 << 31, SEGMENT_SIZE_MAX)],
)
def test_segments_have_a_size_within_reason(wanted: int | None, size: int) -> None:
    async def open_one() -> FakeStorage:
        streams, storage = make_streams()
        await Stream(streams, "s", 7, QueueSettings(segment_size=wanted)).partition.open()
        await streams.close()
        return storage

    assert run(open_one).opened == [(7, size)]


def test_jobs_wait_for_the_run_and_their_errors_stay_with_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    done: list[str] = []

    async def job() -> None:
        done.append("job")

    async def fails() -> None:
        raise LogUnavailable("the disk is away")

    async def breaks() -> None:
        raise ZeroDivisionError

    async def work() -> None:
        streams, _ = make_streams()
        for item in (job, fails, breaks):
            streams.spawn(item)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(streams.run)
            await anyio.sleep(1)
            streams.spawn(job)
            await anyio.sleep(1)
            tasks.cancel_scope.cancel()

    caplog.set_level(logging.ERROR)
    run(work)
    assert done == ["job", "job"]
    assert "the disk is away" in caplog.text
    assert "internal error" in caplog.text


def test_what_belongs_to_no_queue_is_deleted_at_start() -> None:
    async def recover() -> list[int]:
        streams, storage = make_streams()
        stream = Stream(streams, "s", 5, QueueSettings())
        stream.stage(LETTER, [b"x"], 1)
        await stream.commit()
        await streams.close()
        await streams.recover([])
        return await storage.numbers()

    assert run(recover) == []


class FaultyStorage(FakeStorage):
    """Cannot be opened as long as ``error`` says why."""

    def __init__(self) -> None:
        super().__init__()
        self.error: LogError | None = None

    async def open(self, number: int, segment_size: int) -> SegmentLog:
        if self.error is not None:
            raise self.error
        return await super().open(number, segment_size)


async def durable_with(storage: FaultyStorage) -> tuple[DurableBroker, MemoryClient]:
    durable = await running()
    durable.broker.streams.storage = storage
    durable.broker.streams.journal = durable.journal
    client = durable.connect()
    await durable.call(client, commands.Queue.Declare(queue="q", durable=True))
    command = commands.Queue.Declare(queue="s", durable=True, arguments={"x-queue-type": "stream"})
    await durable.call(client, command)
    client.read(commands.Queue.DeclareOk)
    client.read(commands.Queue.DeclareOk)
    client.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
    return durable, client


async def test_a_confirm_waits_until_a_full_disk_has_room_again() -> None:
    storage = FaultyStorage()
    durable, client = await durable_with(storage)
    storage.error = LogUnavailable("the disk is full")
    sleeps: list[float] = []

    async def sleep(delay_s: float) -> None:
        sleeps.append(delay_s)
        assert durable.journal.is_blocked
        if len(sleeps) == 3:
            storage.error = None

    durable.journal._sleep = sleep
    client.publish("s", b"1", b"2")
    await durable.commit()
    assert len(sleeps) == 3
    assert not durable.journal.is_blocked
    ack = client.read(commands.Basic.Ack)
    assert (ack.delivery_tag, ack.multiple) == (2, True)
    queue = durable.broker.vhosts["/"].queues["s"]
    assert len(queue.ready) == 2


async def test_nothing_is_confirmed_after_a_stream_has_failed() -> None:
    storage = FaultyStorage()
    durable, client = await durable_with(storage)
    storage.error = Corrupt("streams/1", 5, "it burns")
    client.publish("s", b"1")
    client.publish("q", b"2", header=properties(delivery_mode=2))
    await durable.commit()
    assert durable.journal.failure is not None
    assert await durable.records() == []


async def test_a_dead_letter_is_in_the_stream_before_it_is_settled() -> None:
    storage = FaultyStorage()
    durable, client = await durable_with(storage)
    arguments: FieldTable = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "s"}
    await durable.call(client, commands.Queue.Declare(queue="d", durable=True, arguments=arguments))
    client.read(commands.Queue.DeclareOk)
    client.publish("d", b"x", header=properties(delivery_mode=2))
    await durable.commit()
    client.read(commands.Basic.Ack)
    before = await durable.records()
    storage.error = Corrupt("streams/1", 5, "it burns")
    client.get("d", no_ack=False)
    client.reject(1, requeue=False)
    await durable.commit()
    assert await durable.records() == before
