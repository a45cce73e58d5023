"""A partition against its brute-force twin, a list (FEATURES A11.4, A11.5, A11.10, S91-S94)."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from amqpbroker.storage.disk import DirectoryDisk
from amqpbroker.storage.executor import InlineExecutor
from amqpbroker.storage.fake_disk import FakeDisk
from amqpbroker.storage.log import Corrupt, LogMissing, Truncated
from amqpbroker.storage.memory import MemoryLog
from amqpbroker.storage.options import LogOptions
from amqpbroker.storage.partition import Partition, end_of
from amqpbroker.storage.segment_log import SegmentLog
from amqpbroker.storage.shard_record import EnqueueRecord, encode_settle

if TYPE_CHECKING:
    from pathlib import Path

    from amqpbroker.storage.disk import Disk
    from amqpbroker.storage.partition import PartitionLog

NOW_MS = 1_000_000


class Clock:
    """Moves when told to."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


def on_disk(disk: Disk, clock: Clock) -> Partition:
    options = LogOptions(segment_size=800, read_size=300, index_interval=100, now_ms=clock)

    async def open_log() -> PartitionLog:
        try:
            return await SegmentLog.open(disk, options, executor=InlineExecutor())
        except LogMissing:
            return await SegmentLog.create(disk, options, executor=InlineExecutor())

    return Partition(open_log, "test")


def in_memory(clock: Clock) -> Partition:
    log = MemoryLog(segment_size=800, now_ms=clock)

    async def open_log() -> PartitionLog:
        return log

    return Partition(open_log, "test")


def runs(first: int, sizes: list[int], now_ms: int) -> list[EnqueueRecord]:
    """Return runs of so many messages whose bodies are their offsets."""
    records = []
    for count in sizes:
        bodies = b"".join(b"%08d" % offset for offset in range(first, first + count))
        records.append(EnqueueRecord(first, count, (), b"", b"k", b"\0\0", 8, bodies, now_ms))
        first += count
    return records


async def everything(partition: Partition, batch: int) -> list[tuple[int, bytes]]:
    return [
        (offset, record.body(offset))
        async for piece in partition.read(batch)
        for record in piece.records
        for offset in range(record.first, end_of(record))
    ]


class Twin:
    """What a partition is: a list of (offset, time)."""

    def __init__(self) -> None:
        self.messages: list[tuple[int, int]] = []

    def at_time(self, timestamp_ms: int, default: int) -> int:
        return next((n for n, at_ms in self.messages if at_ms >= timestamp_ms), default)


@pytest.mark.parametrize("backend", ["memory", "fake disk"])
@pytest.mark.parametrize("seed", range(8))
async def test_random_appends_deletions_and_openings_agree_with_a_list(
    backend: str, seed: int
) -> None:
    rng, clock, twin = random.Random(seed), Clock(), Twin()
    partition = in_memory(clock) if backend == "memory" else on_disk(FakeDisk(), clock)
    for _ in range(80):
        clock.now_ms += rng.randrange(40)
        action = rng.random()
        if action < 0.7:
            sizes = [rng.randrange(1, 5) for _ in range(rng.randrange(1, 4))]
            twin.messages += [(partition.next + n, clock.now_ms) for n in range(sum(sizes))]
            await partition.append(runs(partition.next, sizes, clock.now_ms))
        elif action < 0.8:
            size, age_ms = rng.choice([(None, 300), (2500, None), (3000, 500)])
            count = await partition.retain(size=size, age_ms=age_ms, now_ms=clock.now_ms)
            if size is None:
                assert all(at_ms + 300 <= clock.now_ms for _, at_ms in twin.messages[:count])
            del twin.messages[:count]
        elif action < 0.9 and backend != "memory":
            first, following = partition.first, partition.next
            await partition.close()
            await partition.open()
            assert (partition.first, partition.next) == (first, following)
        if twin.messages:
            assert partition.first == twin.messages[0][0]
            assert partition.next == twin.messages[-1][0] + 1
            offset = rng.choice(twin.messages)[0]
            found = await everything(partition, await partition.locate(offset))
            assert [n for n, _ in found if n >= offset] == list(range(offset, partition.next))
            assert all(body == b"%08d" % n for n, body in found)
            at_ms = clock.now_ms - rng.randrange(600)
            assert await partition.offset_at_time(at_ms) == twin.at_time(at_ms, partition.next)
    await partition.close()


async def test_size_limits_go_by_segments_and_spare_the_last() -> None:
    clock = Clock()
    partition = on_disk(FakeDisk(), clock)
    for _ in range(30):
        await partition.append(runs(partition.next, [8], clock.now_ms))
    assert partition.segment_count > 3
    assert await partition.retain(size=0, age_ms=None, now_ms=NOW_MS) == partition.first > 0
    assert partition.segment_count == 1
    assert partition.next == 240
    await partition.close()
    await partition.open()
    assert partition.next == 240
    await partition.close()


async def test_a_segment_is_as_old_as_the_first_message_behind_it() -> None:
    clock = Clock()
    partition = on_disk(FakeDisk(), clock)
    while partition.segment_count < 2:
        clock.now_ms += 10
        await partition.append(runs(partition.next, [8], clock.now_ms))
    last_ms = partition.oldest_until_ms()
    assert last_ms == clock.now_ms
    assert not await partition.retain(size=None, age_ms=100, now_ms=last_ms + 99)
    assert await partition.retain(size=None, age_ms=100, now_ms=last_ms + 100)
    assert partition.oldest_until_ms() is None
    await partition.close()


async def test_reading_what_was_deleted_says_so() -> None:
    clock = Clock()
    partition = on_disk(FakeDisk(), clock)
    for _ in range(30):
        await partition.append(runs(partition.next, [8], clock.now_ms))
    await partition.retain(size=0, age_ms=None, now_ms=NOW_MS)
    with pytest.raises(Truncated):
        await everything(partition, 0)
    await partition.close()


async def test_a_log_of_something_else_is_refused() -> None:
    log = MemoryLog()
    writer = await log.fence(after=-1, epoch=1, owner="other")
    await writer.append([encode_settle(1, [1])])

    async def open_log() -> PartitionLog:
        return log

    with pytest.raises(Corrupt):
        await Partition(open_log, "test").open()


async def test_a_closed_partition_holds_no_file(tmp_path: Path) -> None:
    partition = on_disk(DirectoryDisk(tmp_path), Clock())
    await partition.append(runs(0, [3], NOW_MS))
    assert partition.is_open
    await partition.close()
    assert not partition.is_open
    assert await everything(partition, await partition.locate(1)) == [
        (offset, b"%08d" % offset) for offset in range(3)
    ]
    await partition.close()
