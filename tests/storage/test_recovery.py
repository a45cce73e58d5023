"""What opening a log believes, cuts, deletes and refuses."""

from __future__ import annotations

import errno
import logging
from uuid import UUID

import pytest

from amqpbroker.storage.batch import encode
from amqpbroker.storage.fake_disk import FakeDisk
from amqpbroker.storage.log import AppendTimeout, Batch, Corrupt, LogUnavailable
from amqpbroker.storage.recovery import unavailable
from amqpbroker.storage.segment import HEAD_SIZE, SegmentHead, encode_head
from amqpbroker.storage.segment_log import open_store
from tests.storage.backends import SMALL
from tests.storage.model import read_all, with_policy
from tests.storage.stores import filled_store, log_names, new_store, reopened


def end_of_data(disk: FakeDisk) -> tuple[str, int]:
    name = log_names(disk)[-1]
    return name, len(disk.content(name).rstrip(b"\0"))


def test_a_torn_end_is_cut_with_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    disk = FakeDisk()
    filled_store(disk)
    name, end = end_of_data(disk)
    disk.damage(name, end - 3, b"???")
    with caplog.at_level(logging.WARNING):
        store = reopened(disk)
    assert store.last == 19
    assert f"/fake/{name}: cut" in caplog.text
    assert "in flight" in caplog.text
    assert store.append(store.fence(19, 2, "me"), [b"x"]) == 21


def test_damage_before_the_last_batch_is_refused() -> None:
    disk = FakeDisk()
    store, _ = filled_store(disk)
    assert store.segments[-1].head.base < 20
    name = log_names(disk)[-1]
    disk.damage(name, HEAD_SIZE + 60, b"?")
    with pytest.raises(Corrupt, match="amqpbroker log repair") as caught:
        reopened(disk)
    assert (caught.value.path, caught.value.position) == (f"/fake/{name}", HEAD_SIZE)


def test_damage_to_the_last_batch_is_refused_after_a_clean_end() -> None:
    disk = FakeDisk()
    store, _ = filled_store(disk)
    store.close()
    name, end = end_of_data(disk)
    disk.damage(name, end - 1, b"?")
    with pytest.raises(Corrupt, match="checksum"):
        reopened(disk)


def test_a_lost_last_segment_is_refused_after_a_fence() -> None:
    disk = FakeDisk()
    store, _ = new_store(disk)
    disk.remove(log_names(disk)[-1])
    assert store.last == 0
    with pytest.raises(Corrupt, match="ends at offset -1, but once reached 0"):
        reopened(disk)


def test_unsynced_batches_behind_a_hole_are_cut_under_a_weaker_policy() -> None:
    disk = FakeDisk()
    store, generation = new_store(disk, with_policy("never"))
    for _ in range(3):
        store.append(generation, [b"x"])
    disk.damage(log_names(disk)[-1], store.segments[-1].end - 100, b"?")
    assert reopened(disk).last < 3


def test_the_image_of_a_batch_in_a_message_is_not_taken_for_one() -> None:
    disk = FakeDisk()
    store, generation = new_store(disk)
    forged = Batch(9, 9, 0, [b"forged"])
    image = b"".join(encode(forged, durable_before=9, seed=0))
    store.append(generation, [image])
    name, end = end_of_data(disk)
    disk.damage(name, end - len(image) - 8, b"\xff")
    assert reopened(disk).last == 0


def test_the_doubtful_tail_is_written_again_before_it_is_believed() -> None:
    disk = FakeDisk()
    filled_store(disk)
    before = len(disk.history)
    reopened(disk)
    name = log_names(disk)[-1]
    assert [step for step in disk.history[before:] if name in step] == [
        f"truncate {name}", f"write {name}", f"sync {name}",
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
def test_what_a_killed_process_failed_to_sync_is_durable_once_it_was_recovered(seed: int) -> None:
    disk = FakeDisk(seed)
    store, generation = new_store(disk)
    disk.faults[disk.operations + 1] = errno.EIO
    with pytest.raises(AppendTimeout):
        store.append(generation, [b"in the page cache only"])
    assert reopened(disk).last == 1
    disk.restart(power_cut=True)
    assert open_store(disk, SMALL).last == 1


def test_after_a_clean_end_nothing_is_written_to_open() -> None:
    disk = FakeDisk()
    store, _ = filled_store(disk)
    store.close()
    before = len(disk.history)
    reopened(disk)
    assert disk.history[before:] == ["sync_names"]


def test_what_is_no_part_of_the_log_any_more_is_deleted_and_strangers_stay() -> None:
    disk = FakeDisk()
    store, _ = filled_store(disk)
    store.close()
    names = disk.names()
    for name in ("00000000000000000099.log.tmp", "manifest.tmp", "00000000000000000099.index"):
        disk.create(name).close()
    disk.create("notes.txt").close()
    reopened(disk)
    assert disk.names() == sorted([*names, "notes.txt"])


def test_an_interrupted_deletion_is_finished() -> None:
    disk = FakeDisk()
    store, _ = filled_store(disk)
    victim = store.extents()[2]
    name = log_names(disk)[2]
    content = disk.content(name)
    store.drop(victim.first, victim.last + 1)
    disk.create(name).write(0, content)
    store = reopened(disk)
    assert name not in disk.names()
    assert store.manifest.dropped == [range(victim.first, victim.last + 1)]


def test_a_segment_of_another_log_is_refused() -> None:
    mine, other = FakeDisk(), FakeDisk()
    filled_store(mine)
    store, _ = filled_store(other)
    name = log_names(mine)[2]
    head = store.segments[2].head._replace(incarnation=UUID(int=8))
    mine.damage(name, 0, encode_head(head))
    with pytest.raises(Corrupt, match="another log"):
        reopened(mine)


def test_a_newer_format_is_refused_and_nothing_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = FakeDisk()
    with monkeypatch.context() as later:
        later.setattr("amqpbroker.storage.segment.FORMAT_VERSION", 2)
        filled_store(disk)
    before = {name: disk.content(name) for name in disk.names()}
    with pytest.raises(LogUnavailable, match=r"newer version \(format 2, this one knows up to 1\)"):
        reopened(disk)
    with monkeypatch.context() as later:
        later.setattr("amqpbroker.storage.manifest.FORMAT_VERSION", 3)
        store = FakeDisk()
        new_store(store)
    with pytest.raises(LogUnavailable, match="format 3"):
        reopened(store)
    assert {name: disk.content(name) for name in disk.names()} == before


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.EAGAIN, "another process has it open"),
        (errno.EACCES, "check the owner and the mode"),
        (errno.EROFS, "read-only; remount it"),
        (errno.ENOSPC, "free some space"),
        (errno.EIO, "check the disk"),
    ],
)
def test_every_error_of_the_system_comes_with_advice(code: int, advice: str) -> None:
    assert advice in str(unavailable("/data", OSError(code, "text")))


def test_a_read_only_disk_is_refused_with_advice() -> None:
    disk = FakeDisk()
    filled_store(disk)
    disk.restart(power_cut=False)
    disk.faults = {disk.operations + number: errno.EROFS for number in range(1, 9)}
    with pytest.raises(LogUnavailable, match="remount it"):
        open_store(disk, SMALL)
    disk.faults.clear()
    assert len(read_all(open_store(disk, SMALL))) == 21


def test_an_empty_active_segment_ends_where_the_one_before_did() -> None:
    disk = FakeDisk()
    store, _ = filled_store(disk)
    store.close()
    head = SegmentHead(21, 1, 0, store.manifest.incarnation)
    file = disk.create("00000000000000000021.log")
    file.write(0, encode_head(head))
    file.sync()
    store = reopened(disk)
    assert (store.last, store.epoch) == (20, 1)
    assert len(read_all(store)) == 21
    assert store.extents()[-1].last == 20
