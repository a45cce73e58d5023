"""What every log backend must do, in one file: see `amqpbroker.storage.log`."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import anyio
import pytest

from amqpbroker.storage.log import AppendRejected, Batch, Fenced, Truncated
from tests.storage.backends import BACKENDS, open_log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from amqpbroker.storage.log import Log, Offset, SegmentedLog, Writer


@pytest.fixture(params=BACKENDS)
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SegmentedLog]:
    async with open_log(request.param, tmp_path) as log:
        yield log


async def read(log: Log, start: Offset, stop: Offset | None = None) -> list[Batch]:
    return [batch async for batch in log.read(start, stop)]


async def offsets(log: Log, start: Offset, stop: Offset | None = None) -> list[Offset]:
    return [batch.offset for batch in await read(log, start, stop)]


async def fence(log: Log) -> Writer:
    return await log.fence(after=-1, epoch=1, owner="me")


async def fill(log: Log, count: int = 40) -> Writer:
    """Write ``count`` batches behind the epoch batch: offsets 1 to ``count``, many segments."""
    writer = await fence(log)
    for number in range(1, count + 1):
        assert await writer.append([b"%03d" % number * 10]) == number
    return writer


async def test_a_new_log_is_empty(log: SegmentedLog) -> None:
    extent = await log.extent()
    assert (extent.first, extent.last) == (0, -1)
    assert await read(log, 0) == []
    assert (await log.extent()).incarnation == extent.incarnation


async def test_fence_appends_an_epoch_batch(log: SegmentedLog) -> None:
    await log.fence(after=-1, epoch=7, owner="nöde")
    (batch,) = await read(log, 0)
    assert (batch.offset, batch.epoch, batch.owner, list(batch.records)) == (0, 7, "nöde", [])


async def test_what_was_appended_is_read_back(log: SegmentedLog) -> None:
    writer = await fence(log)
    assert await writer.append([b"a", b"", b"b" * 100]) == 1
    assert await writer.append([b"c"]) == 2
    batches = await read(log, 1)
    assert [list(batch.records) for batch in batches] == [[b"a", b"", b"b" * 100], [b"c"]]
    assert [(batch.offset, batch.epoch, batch.owner) for batch in batches] == [
        (1, 1, None),
        (2, 1, None),
    ]
    assert all(batch.timestamp_ms > 1_600_000_000_000 for batch in batches)


async def test_extent_follows_the_appends(log: SegmentedLog) -> None:
    await fill(log, 3)
    assert (await log.extent())[:2] == (0, 3)


async def test_read_is_dense_across_segments(log: SegmentedLog) -> None:
    await fill(log)
    assert len(log.segments()) > 3
    assert await offsets(log, 0) == list(range(41))


async def test_read_begins_and_stops_anywhere(log: SegmentedLog) -> None:
    await fill(log)
    for start in range(41):
        assert await offsets(log, start, start + 5) == list(range(start, min(start + 5, 41)))


async def test_read_beyond_the_end_yields_nothing(log: SegmentedLog) -> None:
    await fill(log, 2)
    assert await offsets(log, 3) == await offsets(log, 99) == await offsets(log, 2, 2) == []


async def test_read_ends_where_the_log_ended_when_it_began(log: SegmentedLog) -> None:
    writer = await fill(log, 2)
    seen = []
    async for batch in log.read(0):
        seen.append(batch.offset)
        await writer.append([b"more"])
    assert seen == [0, 1, 2]


async def test_a_batch_is_read_now_with_some_that_follow(log: SegmentedLog) -> None:
    await fill(log)
    everything = await read(log, 0)
    for start in range(41):
        found = list(log.read_now(start))
        assert found
        assert found == everything[start : start + len(found)]


async def test_beyond_the_end_there_is_nothing_to_read_now(log: SegmentedLog) -> None:
    writer = await fill(log, 2)
    assert list(log.read_now(3)) == []
    await writer.append([b"more"])
    (batch,) = log.read_now(3)
    assert list(batch.records) == [b"more"]


async def test_what_was_dropped_is_not_read_now(log: SegmentedLog) -> None:
    await fill(log)
    first, second, third, *_ = log.segments()
    await log.drop(second.first, third.first)
    (batch, *_) = log.read_now(second.first)
    assert batch.offset == third.first
    await log.drop(0, second.first)
    with pytest.raises(Truncated):
        log.read_now(first.first)


async def test_reading_goes_on_aside(log: SegmentedLog) -> None:
    await fill(log, 5)
    found = await log.run_aside(lambda: log.read_now(4))
    assert found[0] == (await read(log, 4))[0]
    with pytest.raises(ZeroDivisionError):
        await log.run_aside(lambda: 1 // 0)


async def test_a_negative_offset_is_truncated(log: SegmentedLog) -> None:
    with pytest.raises(Truncated):
        await read(log, -1)


async def test_a_batch_over_the_limit_is_rejected_and_the_writer_lives(log: SegmentedLog) -> None:
    writer = await fence(log)
    with pytest.raises(AppendRejected):
        await writer.append([b"x", b"x" * log.batch_size_max])
    assert await writer.append([b"x" * log.batch_size_max]) == 1
    assert await writer.append([b"y"]) == 2
    assert [len(batch.records[0]) for batch in await read(log, 1)] == [log.batch_size_max, 1]


async def test_an_empty_batch_is_a_mistake(log: SegmentedLog) -> None:
    writer = await fence(log)
    with pytest.raises(ValueError, match="one record"):
        await writer.append([])


async def test_fence_at_another_end_is_fenced_and_appends_nothing(log: SegmentedLog) -> None:
    writer = await fill(log, 2)
    for after in (-1, 1, 3):
        with pytest.raises(Fenced):
            await log.fence(after=after, epoch=9, owner="late")
    assert await writer.append([b"x"]) == 3


async def test_fence_with_an_epoch_not_higher_is_fenced(log: SegmentedLog) -> None:
    await log.fence(after=-1, epoch=5, owner="me")
    for epoch in (4, 5):
        with pytest.raises(Fenced):
            await log.fence(after=0, epoch=epoch, owner="old")
    assert (await log.extent()).last == 0


async def test_an_overtaken_writer_is_fenced_for_ever(log: SegmentedLog) -> None:
    old = await fence(log)
    new = await log.fence(after=0, epoch=2, owner="new")
    for _ in range(2):
        with pytest.raises(Fenced):
            await old.append([b"old"])
    assert await new.append([b"new"]) == 2
    assert [batch.epoch for batch in await read(log, 0)] == [1, 2, 2]


async def test_an_owner_that_is_too_long_is_a_mistake(log: SegmentedLog) -> None:
    with pytest.raises(ValueError, match="owner"):
        await log.fence(after=-1, epoch=1, owner="ö" * 128)


async def test_two_appends_at_once_are_a_mistake(log: SegmentedLog) -> None:
    writer = await fence(log)
    refused = 0

    async def append() -> None:
        nonlocal refused
        try:
            await writer.append([b"x"])
        except RuntimeError:
            refused += 1

    async with anyio.create_task_group() as group:
        group.start_soon(append)
        group.start_soon(append)
    assert refused == 1
    assert (await log.extent()).last == 1


async def test_cancelling_the_caller_leaves_a_usable_writer(log: SegmentedLog) -> None:
    writer = await fence(log)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await writer.append([b"maybe"])
    last = (await log.extent()).last
    assert await writer.append([b"next"]) == last + 1


async def test_trim_forgets_whole_segments_and_keeps_the_rest(log: SegmentedLog) -> None:
    await fill(log)
    await log.trim(20)
    extent = await log.extent()
    assert 0 < extent.first <= 20
    assert extent.first == log.segments()[0].first
    assert await offsets(log, extent.first) == list(range(extent.first, 41))
    with pytest.raises(Truncated) as caught:
        await read(log, extent.first - 1)
    assert caught.value.first == extent.first


async def test_trim_is_monotone_and_idempotent(log: SegmentedLog) -> None:
    await fill(log)
    await log.trim(30)
    extent = await log.extent()
    await log.trim(30)
    await log.trim(10)
    assert await log.extent() == extent
    assert log.dropped() == []


async def test_trim_keeps_the_last_batch(log: SegmentedLog) -> None:
    writer = await fill(log)
    await log.trim(1000)
    extent = await log.extent()
    assert extent.first <= extent.last == 40
    assert (await offsets(log, extent.first))[-1] == 40
    assert await writer.append([b"x"]) == 41


async def test_segments_add_up(log: SegmentedLog) -> None:
    await fill(log)
    segments = log.segments()
    assert segments[0].first == 0
    assert segments[-1].last == 40
    assert all(a.last + 1 == b.first for a, b in itertools.pairwise(segments))
    assert all(segment.size > 0 for segment in segments)


async def test_a_dropped_segment_in_the_middle_is_skipped(log: SegmentedLog) -> None:
    await fill(log)
    victim, other = log.segments()[1], log.segments()[3]
    gone = {*range(victim.first, victim.last + 1), *range(other.first, other.last + 1)}
    await log.drop(victim.first, victim.last + 1)
    await log.drop(other.first, other.last + 1)
    assert log.dropped() == [
        range(victim.first, victim.last + 1),
        range(other.first, other.last + 1),
    ]
    assert victim not in log.segments()
    assert await offsets(log, 0) == [offset for offset in range(41) if offset not in gone]
    assert await offsets(log, victim.first + 1, victim.last + 1) == []
    assert (await offsets(log, victim.last))[0] == victim.last + 1
    assert (await log.extent())[:2] == (0, 40)


async def test_drop_takes_whole_segments_only(log: SegmentedLog) -> None:
    await fill(log)
    before = log.segments()
    await log.drop(before[1].first + 1, before[1].last + 1)
    await log.drop(before[1].first, before[1].last)
    assert log.segments() == before
    await log.drop(before[1].first + 1, before[4].first + 1)
    assert log.segments() == [*before[:2], *before[4:]]
    assert log.dropped() == [range(before[2].first, before[4].first)]


async def test_neighbouring_drops_become_one_range_and_the_first_moves(log: SegmentedLog) -> None:
    await fill(log)
    before = log.segments()
    for victim in (before[1], before[2], before[0]):
        await log.drop(victim.first, victim.last + 1)
    assert log.dropped() == []
    assert (await log.extent()).first == before[3].first
    with pytest.raises(Truncated):
        await read(log, before[1].first)


async def test_drop_keeps_the_active_segment(log: SegmentedLog) -> None:
    writer = await fill(log)
    await log.drop(1, 1000)
    assert log.segments()[-1].last == 40
    assert await writer.append([b"x"]) == 41


async def test_reading_on_after_a_trim_ahead_of_it_is_truncated(log: SegmentedLog) -> None:
    await fill(log)
    reader = log.read(0)
    await anext(reader)
    await log.trim(40)
    with pytest.raises(Truncated):
        async for _ in reader:
            pass


async def test_a_closed_log_fences_its_writer(log: SegmentedLog) -> None:
    writer = await fence(log)
    await log.close()
    await log.close()
    with pytest.raises(Fenced):
        await writer.append([b"x"])
