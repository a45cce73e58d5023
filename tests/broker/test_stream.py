"""What a stream keeps and for how long, in virtual time (FEATURES A11.4, A11.10)."""

from __future__ import annotations

import anyio
import pytest

from amqpbroker.broker.settings import QueueSettings
from amqpbroker.broker.stream import RECENT_SIZE, Stream
from amqpbroker.broker.streams import Streams
from amqpbroker.broker.timers import Timers
from amqpbroker.testing.virtual_loop import run, virtual_clock
from amqpbroker.wire.content import Publication

KIB = Publication.of("", "k", {}, 1024)


def running_streams() -> tuple[Streams, Timers]:
    timers = Timers(lambda: None, *virtual_clock())
    return Streams(timers, lambda: None), timers


async def write(stream: Stream, count: int, now_ms: int) -> None:
    stream.stage(KIB, [bytes(1024)] * count, now_ms)
    await stream.commit()


def test_segments_go_when_all_in_them_is_too_old_and_not_before() -> None:
    async def age() -> list[int]:
        streams, timers = running_streams()
        counts = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(streams.run)
            tasks.start_soon(timers.run)
            settings = QueueSettings(max_age_ms=60_000, segment_size=4096)
            stream = Stream(streams, "s", 1, settings)
            for _ in range(6):
                await write(stream, 2, timers.wall_ms())  # two batches fill a segment
                await anyio.sleep(10)
            for _ in range(8):
                counts.append(len(stream))
                await anyio.sleep(10)
            tasks.cancel_scope.cancel()
        return counts

    counts = run(age)
    assert counts[0] == 12
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 2  # the last segment stays
    assert len(set(counts)) > 3


def test_a_new_age_is_in_force_at_once() -> None:
    async def apply() -> tuple[int, int]:
        streams, timers = running_streams()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(streams.run)
            stream = Stream(streams, "s", 1, QueueSettings(segment_size=4096))
            for _ in range(10):
                await write(stream, 2, timers.wall_ms())
                await anyio.sleep(1)
            before = len(stream)
            stream.apply(QueueSettings(max_age_ms=1000, segment_size=4096))
            await anyio.sleep(1)
            tasks.cancel_scope.cancel()
        return before, len(stream)

    before, after = run(apply)
    assert before == 20
    assert after <= 4


def test_what_is_staged_is_numbered_on() -> None:
    async def stage() -> list[int]:
        streams, _ = running_streams()
        stream = Stream(streams, "s", 1, QueueSettings())
        await write(stream, 3, 1)
        stream.stage(KIB, [bytes(1024)] * 2, 2)
        stream.stage(KIB, [bytes(1024)], 3)
        await stream.commit()
        await stream.commit()
        return [
            record.first async for piece in stream.partition.read(0) for record in piece.records
        ]

    assert run(stage) == [0, 3, 5]


def test_a_deleted_stream_writes_nothing() -> None:
    async def delete() -> int:
        streams, _ = running_streams()
        stream = Stream(streams, "s", 1, QueueSettings())
        stream.stage(KIB, [bytes(1024)], 1)
        stream.stop()
        await stream.commit()
        return stream.partition.next

    assert run(delete) == 0


@pytest.mark.parametrize("keeps", [True, False])
def test_the_latest_is_in_memory_while_somebody_waits_for_it(keeps: bool) -> None:
    async def remember() -> Stream:
        streams, _ = running_streams()
        stream = Stream(streams, "s", 1, QueueSettings())
        stream.keeps_recent = keeps
        for number in range(20):
            await write(stream, RECENT_SIZE // 1024 // 8, number)
        return stream

    stream = run(remember)
    count = len(stream)
    assert stream.recent(0) is None
    piece = stream.recent(count - 1)
    assert (piece is not None and piece.next == count) is keeps
    assert stream.recent(count * 3 // 5) is None
    stream.forget_recent()
    assert stream.recent(count - 1) is None
