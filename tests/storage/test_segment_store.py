"""Appending and deleting when the disk plays its tricks; whole histories are in test_crash."""

from __future__ import annotations

import errno
from contextlib import closing
from dataclasses import replace

import pytest

from amqpbroker.storage.encryption import KEY_SIZE, Keyring
from amqpbroker.storage.fake_disk import FakeDisk
from amqpbroker.storage.log import AppendRejected, AppendTimeout, Fenced, LogUnavailable
from amqpbroker.storage.segment_log import open_store
from tests.storage.backends import SEGMENT_SIZE, SMALL
from tests.storage.model import read_all
from tests.storage.stores import filled_store, log_names, new_store, reopened


def fail_next(disk: FakeDisk, code: int, *, skip: int = 0) -> None:
    disk.faults[disk.operations + skip] = code


def test_an_append_is_one_write_and_one_sync() -> None:
    disk = FakeDisk()
    store, generation = new_store(disk)
    before = len(disk.history)
    store.append(generation, [b"x"] * 10)
    name = log_names(disk)[0]
    assert disk.history[before:] == [f"write {name}", f"sync {name}"]


def test_a_file_whose_sync_failed_is_never_written_or_synced_again() -> None:
    disk = FakeDisk()
    store, generation = filled_store(disk)
    name = log_names(disk)[-1]
    fail_next(disk, errno.EIO, skip=1)
    with pytest.raises(AppendTimeout):
        store.append(generation, [b"doubtful"])
    before = len(disk.history)
    store.settle()
    generation = store.fence(store.last, 2, "me again")
    for _ in range(20):
        store.append(generation, [b"x" * 100])
    store.close()
    assert not [step for step in disk.history[before:] if step.split()[1:] == [name]]


def test_after_a_failed_sync_the_old_writer_is_dead_and_the_batch_settled() -> None:
    disk = FakeDisk()
    store, generation = filled_store(disk)
    fail_next(disk, errno.EIO, skip=1)
    for _ in range(2):
        with pytest.raises(AppendTimeout):
            store.append(generation, [b"doubtful"])
    assert store.last == 20
    store.settle()
    assert store.last == 21
    with pytest.raises(AppendTimeout):
        store.append(generation, [b"x"])
    disk.restart(power_cut=True)
    assert read_all(open_store(disk, SMALL))[-1].records == [b"doubtful"]


def test_settling_waits_until_the_disk_works_again() -> None:
    disk = FakeDisk()
    store, generation = filled_store(disk)
    fail_next(disk, errno.EIO, skip=1)
    with pytest.raises(AppendTimeout):
        store.append(generation, [b"doubtful"])
    for skip in range(6):  # create, allocate, write, sync, rename, sync_names
        disk.faults.clear()
        fail_next(disk, errno.EIO, skip=skip)
        with pytest.raises(LogUnavailable):
            store.settle()
        assert store.last == 20
    store.settle()
    assert store.last == 21
    assert len(read_all(store)) == 22


def test_no_space_in_the_middle_of_a_write_is_a_definite_no() -> None:
    disk = FakeDisk(seed=4)
    store, generation = filled_store(disk, 1)
    fail_next(disk, errno.ENOSPC)
    with pytest.raises(AppendRejected, match="the disk is full; free some space"):
        store.append(generation, [b"x" * 300])
    assert store.append(generation, [b"y"]) == 2
    disk.restart(power_cut=True)
    assert [batch.records for batch in read_all(open_store(disk, SMALL), 2)] == [[b"y"]]


def test_a_rejected_batch_never_lands_even_if_all_that_is_missing_are_zeros(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for seed in range(20):
        disk = FakeDisk(seed)
        store, generation = filled_store(disk, 1)
        monkeypatch.setattr(disk, "part_of", lambda size: size - 40)
        fail_next(disk, errno.ENOSPC)
        with pytest.raises(AppendRejected):
            store.append(generation, [b"x" + bytes(40)])
        disk.restart(power_cut=seed % 2 == 0)
        assert open_store(disk, SMALL).last == 1


def test_the_epoch_outlives_a_batch_that_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = FakeDisk()
    store, generation = filled_store(disk)
    monkeypatch.setattr(disk, "part_of", lambda size: 0)
    fail_next(disk, errno.EIO)
    with pytest.raises(AppendTimeout):
        store.append(generation, [b"lost"])
    store.settle()
    store = reopened(disk)
    assert (store.last, store.epoch) == (20, 1)
    with pytest.raises(Fenced, match="epoch 1 owns"):
        store.fence(20, 1, "late")


def test_a_full_disk_rejects_until_there_is_space() -> None:
    disk = FakeDisk()
    store, generation = filled_store(disk)
    disk.capacity = disk.used()
    for _ in range(2):
        with pytest.raises(AppendRejected):
            store.append(generation, [b"x" * SEGMENT_SIZE])
    disk.capacity = None
    assert store.append(generation, [b"x"]) == 21


def test_on_a_full_disk_dropping_still_makes_room() -> None:
    disk = FakeDisk()
    store, generation = filled_store(disk)
    disk.capacity = disk.used()
    store.drop(0, 15)
    assert store.append(generation, [b"x" * 500]) == 21


def test_a_segment_never_grows_after_its_successor_was_made() -> None:
    disk = FakeDisk()
    store, generation = filled_store(disk, 1)
    # create, allocate, write, sync, rename, and the sync of the names fails
    fail_next(disk, errno.EIO, skip=5)
    with pytest.raises(AppendRejected):
        store.append(generation, [b"x" * SEGMENT_SIZE])
    assert len(log_names(disk)) == 2
    assert store.append(generation, [b"small"]) == 2
    disk.restart(power_cut=True)
    assert [batch.offset for batch in read_all(open_store(disk, SMALL))] == [0, 1, 2]


def test_a_full_segment_gives_back_what_it_reserved() -> None:
    disk = FakeDisk()
    store, _ = filled_store(disk)
    for segment, name in zip(store.segments[:-1], log_names(disk), strict=False):
        assert segment.end == len(disk.content(name)) < SEGMENT_SIZE
    assert len(disk.content(log_names(disk)[-1])) == SEGMENT_SIZE
    store.close()
    assert disk.used() < sum(segment.end for segment in store.segments) + 5000


def test_a_batch_larger_than_a_segment_gets_a_segment_of_its_own() -> None:
    disk = FakeDisk()
    store, generation = new_store(disk)
    store.append(generation, [b"x" * 3 * SEGMENT_SIZE])
    store.append(generation, [b"y"])
    assert [len(batch.records[0]) for batch in read_all(store, 1)] == [3 * SEGMENT_SIZE, 1]
    assert len(log_names(disk)) == 2


def test_dropping_deletes_the_files_of_a_segment() -> None:
    disk = FakeDisk()
    store, _ = filled_store(disk)
    victim = store.extents()[2]
    stem = f"{victim.first:020}"
    assert len([name for name in disk.names() if name.startswith(stem)]) == 3
    store.drop(victim.first, victim.last + 1)
    assert not [name for name in disk.names() if name.startswith(stem)]
    assert victim.first not in [batch.offset for batch in read_all(reopened(disk))]


def test_a_deletion_that_cannot_be_noted_is_not_begun() -> None:
    disk = FakeDisk()
    store, _ = filled_store(disk)
    names = log_names(disk)
    victim = store.extents()[2]
    fail_next(disk, errno.EIO, skip=2)  # after the two index files: making the new manifest
    with pytest.raises(LogUnavailable, match="manifest"):
        store.drop(victim.first, victim.last + 1)
    assert log_names(disk) == names
    assert len(read_all(store)) == 21
    store.drop(victim.first, victim.last + 1)
    assert len(read_all(store)) < 21


def test_a_new_key_begins_a_new_segment() -> None:
    disk = FakeDisk()
    first, second = b"1" * KEY_SIZE, b"2" * KEY_SIZE
    store, generation = new_store(disk, SMALL)
    store.append(generation, [b"plain"])
    for epoch, keys in ((2, {1: first}), (3, {1: first, 2: second})):
        store = reopened(disk, replace(SMALL, keyring=Keyring(keys)))
        generation = store.fence(store.last, epoch, "me")
        store.append(generation, [b"sealed with %d" % max(keys)])
    assert [segment.head.key_id for segment in store.segments] == [0, 1, 2]
    records = [batch.records for batch in read_all(store) if batch.owner is None]
    assert records == [[b"plain"], [b"sealed with 1"], [b"sealed with 2"]]
    assert b"sealed with" not in b"".join(map(disk.content, disk.names()))


def test_when_the_old_segments_are_gone_the_old_key_may_go() -> None:
    disk = FakeDisk()
    first, second = b"1" * KEY_SIZE, b"2" * KEY_SIZE
    filled_store(disk, options=replace(SMALL, keyring=Keyring({1: first})))
    store = reopened(disk, replace(SMALL, keyring=Keyring({1: first, 2: second})))
    store.fence(store.last, 2, "me")
    store.drop(0, store.last)
    reopened(disk, replace(SMALL, keyring=Keyring({2: second})))


def test_under_interval_the_sync_comes_when_it_is_due() -> None:
    now = 0.0
    disk = FakeDisk()
    options = replace(SMALL, fsync="interval", fsync_interval_s=5, monotonic=lambda: now)
    store, generation = new_store(disk, options)
    assert store.tick() is None
    store.append(generation, [b"a"])
    now = 3.0
    store.append(generation, [b"b"])
    assert store.tick() == pytest.approx(2.0)
    assert not disk.history[-1].startswith("sync")
    now = 5.0
    assert store.tick() is None
    assert disk.history[-1].startswith("sync")


def test_under_interval_a_failed_sync_shows_at_the_next_append() -> None:
    now = 0.0
    disk = FakeDisk()
    options = replace(SMALL, fsync="interval", fsync_interval_s=5, monotonic=lambda: now)
    store, generation = new_store(disk, options)
    store.append(generation, [b"a"])
    now = 9.0
    fail_next(disk, errno.EIO)
    store.tick()
    with pytest.raises(AppendTimeout):
        store.append(generation, [b"b"])
    store.settle()
    assert [batch.records for batch in read_all(store, 1)] == [[b"a"]]


def test_under_never_only_full_segments_are_synced() -> None:
    disk = FakeDisk()
    store, generation = new_store(disk, replace(SMALL, fsync="never"))
    before = len(disk.history)
    store.append(generation, [b"a"])
    assert [step.split()[0] for step in disk.history[before:]] == ["write"]


def test_a_closed_log_is_unavailable() -> None:
    store, generation = filled_store(FakeDisk())
    store.close()
    with pytest.raises(Fenced):
        store.append(generation, [b"x"])
    with pytest.raises(LogUnavailable, match="closed"):
        store.settle()
    with pytest.raises(LogUnavailable, match="closed"):
        store.fence(20, 2, "me")


def test_what_is_reserved_by_pieces_grows_up_to_a_segment_and_no_further() -> None:
    disk = FakeDisk()
    options = replace(SMALL, reserve_size=150)
    store, generation = new_store(disk, options)
    sizes = []
    for number in range(40):
        store.append(generation, [b"%03d" % number * 10])
        name = log_names(disk)[-1]
        with closing(disk.open_to_read(name)) as file:
            sizes.append(file.size())
            assert file.size() <= store.segments[-1].end + 150 + 100
        if number % 7 == 0:
            store.close()
            disk.restart(power_cut=True)
            store = open_store(disk, options)
            generation = store.fence(store.last, number + 2, "me")
    assert max(sizes) <= SEGMENT_SIZE
    assert len(log_names(disk)) > 4
    batches = [batch for batch in read_all(store) if batch.records]
    assert [batch.records[0][:3] for batch in batches] == [b"%03d" % n for n in range(40)]


def test_a_piece_that_finds_no_space_is_a_definite_no() -> None:
    disk = FakeDisk()
    store, generation = new_store(disk, replace(SMALL, reserve_size=150))
    store.append(generation, [b"x" * 40])
    disk.capacity = disk.used()
    with pytest.raises(AppendRejected):
        [store.append(generation, [b"x" * 40]) for _ in range(20)]
    last = store.last
    disk.capacity = None
    store.append(generation, [b"y"])
    assert store.last == last + 1
    disk.restart(power_cut=True)
    assert read_all(open_store(disk, SMALL))[-1].records == [b"y"]
