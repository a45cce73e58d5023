"""Reading piece by piece, and what a reader says to damage."""

from __future__ import annotations

from dataclasses import replace

import pytest

from amqpbroker.storage.fake_disk import FakeDisk
from amqpbroker.storage.log import Corrupt
from amqpbroker.storage.reader import Reader, offset_for_time
from amqpbroker.storage.segment import HEAD_SIZE
from tests.storage.backends import SMALL
from tests.storage.model import read_all
from tests.storage.stores import filled_store, log_names, new_store, reopened


@pytest.mark.parametrize("read_size", [1, 60, 150, 1000, 100_000])
def test_pieces_of_any_size_give_the_same_batches(read_size: int) -> None:
    store, _ = filled_store(FakeDisk(), options=replace(SMALL, read_size=read_size))
    for start in (0, 1, 7, 20):
        assert [batch.offset for batch in read_all(store, start)] == list(range(start, 21))


def test_a_piece_is_one_read_of_one_segment() -> None:
    store, _ = filled_store(FakeDisk(), options=replace(SMALL, read_size=10_000))
    reader = Reader(store, 0, None)
    piece = reader.next_piece()
    assert piece[-1].offset == store.extents()[0].last


def test_damage_is_named_with_file_and_position() -> None:
    disk = FakeDisk()
    store, _ = filled_store(disk)
    name = log_names(disk)[2]
    disk.damage(name, HEAD_SIZE + 60, b"?")
    with pytest.raises(Corrupt, match="wrong checksum") as caught:
        read_all(store)
    assert caught.value.path == f"/fake/{name}"
    assert caught.value.position == HEAD_SIZE


def test_a_segment_cut_short_is_corrupt() -> None:
    disk = FakeDisk()
    store, _ = filled_store(disk)
    name = log_names(disk)[2]
    disk.open(name).truncate(len(disk.content(name)) - 1)
    for _ in range(2):
        with pytest.raises(Corrupt, match="ends"):
            read_all(store)
        store = reopened(disk)


def test_zeros_behind_the_last_batch_of_a_full_segment_do_not_matter() -> None:
    disk = FakeDisk()
    store, _ = filled_store(disk)
    victim = store.extents()[3]
    disk.open(log_names(disk)[2]).truncate(5000)
    store.drop(victim.first, victim.last + 1)
    for _ in range(2):
        assert len(read_all(store)) == 21 - len(range(victim.first, victim.last + 1))
        store = reopened(disk)


def test_a_missing_segment_is_corrupt() -> None:
    disk = FakeDisk()
    store, _ = filled_store(disk)
    disk.remove(log_names(disk)[2])
    with pytest.raises(Corrupt, match="the file is missing"):
        read_all(store)
    with pytest.raises(Corrupt, match="ends"):
        read_all(reopened(disk))


def test_a_reader_goes_on_while_the_log_grows_rolls_and_drops() -> None:
    store, generation = filled_store(FakeDisk())
    reader = Reader(store, 0, 21)
    seen = [batch.offset for batch in reader.next_piece()]
    victims = store.extents()[2:4]
    for victim in victims:
        store.drop(victim.first, victim.last + 1)
    for _ in range(20):
        store.append(generation, [b"x" * 100])
    while piece := reader.next_piece():
        seen += [batch.offset for batch in piece]
    assert seen == [o for o in range(21) if not victims[0].first <= o <= victims[1].last]


def timed_store(times: list[int]) -> FakeDisk:
    """Return a log whose batch at offset n + 1 has the time ``times[n]``; offset 0 has time 0."""
    disk = FakeDisk()
    current = [0]
    store, generation = new_store(disk, replace(SMALL, now_ms=lambda: current[0]))
    for time in times:
        current[0] = time
        store.append(generation, [b"x" * 100])
    return disk


def expected_offset(times: list[int], time: int) -> int | None:
    return next((o for o, t in enumerate([0, *times]) if t >= time), None)


@pytest.mark.parametrize(
    "times",
    [
        list(range(100, 140)),
        [100, 300, 200, 150, 400, 390, 380, 500, 10, 600, 600, 600, 700],
        [5] * 20,
        list(range(40, 0, -1)),
    ],
)
def test_the_first_batch_not_older_is_found(times: list[int]) -> None:
    store = reopened(timed_store(times))
    assert len(store.segments) > 2
    for time in sorted({-1, 0, 1, *times, *(t + 1 for t in times)}):
        assert offset_for_time(store, time) == expected_offset(times, time)


def test_a_time_in_a_dropped_segment_finds_the_next_batch() -> None:
    times = list(range(100, 140))
    store = reopened(timed_store(times))
    victim = store.extents()[3]
    store.drop(victim.first, victim.last + 1)
    assert offset_for_time(store, times[victim.first - 1]) == victim.last + 1
    store.drop(0, victim.first)
    assert offset_for_time(store, 0) == victim.last + 1


def test_no_batch_is_younger_than_the_future() -> None:
    store, _ = new_store(FakeDisk())
    assert offset_for_time(store, 2**62) is None
