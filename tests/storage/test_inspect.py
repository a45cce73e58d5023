"""Verifying, mending and dumping a log that something damaged."""

from __future__ import annotations

from itertools import count
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amqpbroker.storage.fake_disk import FakeDisk, PowerCut
from amqpbroker.storage.inspect import Problem, describe, dump, repair, verify
from amqpbroker.storage.log import Batch, Corrupt, LogMissing, LogUnavailable, Offset
from amqpbroker.storage.segment import HEAD_SIZE
from amqpbroker.storage.segment_log import create_store, open_store
from tests.storage.backends import ENCRYPTED, SMALL
from tests.storage.model import Value, read_all, value_of

LAST = 20


def filled(*, is_closed: bool = True, encrypted: bool = False) -> FakeDisk:
    """Return a disk with a log of offsets 0 to 20 in some ten segments."""
    disk = FakeDisk()
    store = create_store(disk, ENCRYPTED if encrypted else SMALL, UUID(int=7))
    generation = store.fence(-1, 1, "me")
    for number in range(1, LAST + 1):
        store.append(generation, [b"%02d" % number * 60, b"second"])
    if is_closed:
        store.close()
    disk.restart(power_cut=False)
    return disk


def logs(disk: FakeDisk) -> list[str]:
    return [name for name in disk.names() if name.endswith(".log")]


def values(disk: FakeDisk, *, is_end_known: bool = True) -> dict[Offset, Value]:
    """Open, read all, append one more, close."""
    store = open_store(disk, SMALL)
    found = {batch.offset: value_of(batch) for batch in read_all(store)}
    generation = store.fence(store.last, store.epoch + 1, "next")
    assert store.append(generation, [b"new"]) == store.last
    assert not is_end_known or store.last > LAST + 1
    store.close()
    return found


ALL = values(filled())


def test_a_sound_log_is_reported_whole() -> None:
    report = verify(filled())
    assert report.is_sound
    assert report.manifest is not None
    assert report.manifest.incarnation == UUID(int=7)
    assert report.last == LAST
    assert sum(segment.batches for segment in report.segments) == LAST + 1
    assert sum(segment.records for segment in report.segments) == 2 * LAST
    assert [segment.first for segment in report.segments[1:]] == [
        segment.last + 1 for segment in report.segments[:-1]
    ]


def test_verifying_changes_nothing_and_mending_a_sound_log_neither() -> None:
    disk = filled()
    before = disk.operations
    verify(disk)
    assert repair(disk) == []
    assert disk.operations == before


def test_a_torn_end_is_no_problem() -> None:
    disk = filled(is_closed=False)
    name = logs(disk)[-1]
    end = len(disk.content(name).rstrip(b"\0"))
    disk.damage(name, end - 1, b"?")
    report = verify(disk)
    assert report.is_sound
    assert "checksum" in (report.segments[-1].torn or "")
    assert report.last == LAST - 1


def damage_middle(disk: FakeDisk) -> None:
    disk.damage(logs(disk)[2], HEAD_SIZE + 70, b"?")


def damage_head(disk: FakeDisk) -> None:
    disk.damage(logs(disk)[2], 20, b"?")


def damage_last_after_close(disk: FakeDisk) -> None:
    name = logs(disk)[-1]
    disk.damage(name, len(disk.content(name)) - 1, b"?")


def remove_middle(disk: FakeDisk) -> None:
    disk.remove(logs(disk)[2])


def remove_first(disk: FakeDisk) -> None:
    disk.remove(logs(disk)[0])


def remove_last(disk: FakeDisk) -> None:
    disk.remove(logs(disk)[-1])


def remove_all(disk: FakeDisk) -> None:
    for name in logs(disk):
        disk.remove(name)


def remove_manifest(disk: FakeDisk) -> None:
    disk.remove("manifest")


def damage_manifest(disk: FakeDisk) -> None:
    disk.damage("manifest", 5, b"?")


def swap(disk: FakeDisk) -> None:
    disk.rename(logs(disk)[1], logs(disk)[2])


DAMAGES = [
    damage_middle, damage_head, damage_last_after_close, remove_middle, remove_first,
    remove_last, remove_all, remove_manifest, damage_manifest, swap,
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("encrypted", [False, True])
def test_damage_is_refused_found_and_mended(damage: object, encrypted: bool) -> None:
    assert callable(damage)
    disk = filled(encrypted=encrypted)
    damage(disk)
    options = ENCRYPTED if encrypted else SMALL
    with pytest.raises(Corrupt, match="amqpbroker log repair"):
        read_all(open_store(disk, options))
    disk.restart(power_cut=False)
    assert not verify(disk).is_sound
    assert repair(disk)
    assert verify(disk).is_sound
    store = open_store(disk, options)
    found = {batch.offset: value_of(batch) for batch in read_all(store)}
    assert found.items() <= ALL.items()
    assert store.last == LAST
    assert store.append(store.fence(LAST, 2, "next"), [b"new"]) == LAST + 2


def test_only_the_damaged_batch_is_lost() -> None:
    disk = filled()
    damage_middle(disk)
    (problem,) = verify(disk).problems
    assert problem.position == HEAD_SIZE
    repair(disk)
    assert len(values(disk)) == LAST


def test_a_damaged_head_loses_nothing_of_a_plain_segment() -> None:
    disk = filled()
    damage_head(disk)
    repair(disk)
    assert values(disk) == ALL


def test_the_damaged_file_is_kept_as_a_copy() -> None:
    disk = filled()
    damage_middle(disk)
    name = logs(disk)[2]
    before = disk.content(name)
    repair(disk)
    assert disk.content(name + ".damaged") == before


@given(
    st.lists(st.tuples(st.integers(0, 99), st.integers(0, 700), st.binary(max_size=30))),
    st.sets(st.integers(0, 99), max_size=2),
)
@settings(max_examples=150, deadline=None)
def test_any_damage_can_be_mended(
    overwrites: list[tuple[int, int, bytes]], removed: set[int]
) -> None:
    disk = filled()
    for number, position, data in overwrites:
        names = [name for name in disk.names() if name != "lock"]
        name = names[number % len(names)]
        disk.damage(name, min(position, len(disk.content(name))), data)
    for number in removed:
        disk.remove(disk.names()[number % len(disk.names())])
    try:
        # Without the manifest, only the last segment says where the log ended.
        is_end_known = verify(disk).manifest is not None
        repair(disk)
    except LogMissing:
        return  # neither a manifest nor one sound head is left
    assert verify(disk).is_sound
    assert values(disk, is_end_known=is_end_known).items() <= ALL.items()
    assert repair(disk) == []


@pytest.mark.parametrize("damage", [damage_middle, remove_middle, damage_head, remove_manifest])
@pytest.mark.parametrize("power_cut", [False, True])
def test_an_interrupted_repair_can_be_done_again(damage: object, power_cut: bool) -> None:
    assert callable(damage)
    for operation in count():
        disk = filled()
        disk.sync_names()
        damage(disk)
        disk.cut_power_at = disk.operations + operation
        try:
            repair(disk)
        except PowerCut:
            disk.restart(power_cut=power_cut)
            repair(disk)
            assert verify(disk).is_sound
            assert len(values(disk)) >= LAST - 1
        else:
            assert operation > 2
            return


def test_repair_leaves_an_open_log_alone() -> None:
    disk = filled()
    open_store(disk, SMALL)
    with pytest.raises(LogUnavailable, match="another process"):
        repair(disk)


def test_no_log_is_no_log() -> None:
    for look in (verify, repair, lambda disk: list(dump(disk))):
        with pytest.raises(LogMissing):
            look(FakeDisk())


def test_dump_shows_a_range_of_batches_and_the_damage() -> None:
    disk = filled()
    shown = [item for item in dump(disk, 3, 6) if not isinstance(item, Problem)]
    assert [batch.offset for _, _, batch in shown] == [3, 4, 5]
    assert all(path.endswith(".log") and position >= HEAD_SIZE for path, position, _ in shown)
    damage_middle(disk)
    assert [item for item in dump(disk) if isinstance(item, Problem)] == verify(disk).problems


def test_dump_of_an_encrypted_log_needs_the_key() -> None:
    disk = filled(encrypted=True)
    with pytest.raises(LogUnavailable, match="give the key file"):
        list(dump(disk))
    assert len(list(dump(disk, keyring=ENCRYPTED.keyring))) == LAST + 1


def test_batches_are_described_in_lines() -> None:
    text = describe(Batch(3, 2, 1000, [b"abcdef", b""]), preview_size=4)
    assert text.splitlines() == [
        "offset 3 epoch 2 time 1000 records 2",
        "  0: 6 bytes b'abcd'…",
        "  1: 0 bytes b''",
    ]
    assert describe(Batch(0, 1, 5, (), "me")) == "offset 0 epoch 1 time 5 fenced by 'me'"
