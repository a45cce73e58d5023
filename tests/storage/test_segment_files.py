"""Index files are made when a segment is full, and made again when they do not fit."""

from __future__ import annotations

import pytest

from amqpbroker.storage import segment_files
from amqpbroker.storage.fake_disk import FakeDisk
from amqpbroker.storage.reader import Reader
from amqpbroker.storage.segment_files import create_segment, new_head
from tests.storage.model import read_all
from tests.storage.stores import filled_store, log_names, reopened


def index_names(disk: FakeDisk) -> list[str]:
    return [name for name in disk.names() if "index" in name]


def test_every_full_segment_has_both_index_files() -> None:
    disk = FakeDisk()
    filled_store(disk)
    full = [name.removesuffix(".log") for name in log_names(disk)[:-1]]
    assert index_names(disk) == [
        f"{name}.{kind}" for name in full for kind in ("index", "timeindex")
    ]


@pytest.mark.parametrize("how", ["missing", "torn", "stale"])
def test_an_index_that_does_not_fit_is_built_again_with_the_same_content(how: str) -> None:
    disk = FakeDisk()
    filled_store(disk)
    names = index_names(disk)
    before = {name: disk.content(name) for name in names}
    for name, other in zip(names, [*names[2:], *names[:2]], strict=True):
        if how == "missing":
            disk.remove(name)
        elif how == "torn":
            disk.damage(name, 50, b"??")
        else:
            disk.damage(name, 0, before[other])
    store = reopened(disk)
    for start in range(20):
        assert [batch.offset for batch in Reader(store, start, start + 1).next_piece()] == [start]
    assert {name: disk.content(name) for name in before} == before


def test_no_more_indexes_are_held_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment_files, "INDEXES_MAX", 2)
    store, _ = filled_store(FakeDisk())
    for start in range(20):
        read_all(store, start)
    assert len(store.indexes._recent) == 2


def test_an_index_that_cannot_be_stored_is_used_all_the_same() -> None:
    disk = FakeDisk()
    filled_store(disk)
    for name in index_names(disk):
        disk.remove(name)
    store = reopened(disk)
    disk.capacity = disk.used()
    assert [batch.offset for batch in read_all(store, 3)] == list(range(3, 21))


def test_where_a_whole_segment_does_not_fit_a_smaller_one_is_reserved() -> None:
    disk = FakeDisk()
    store, _ = filled_store(disk)
    disk.capacity = disk.used() + 100_000
    head = new_head(99, 1, store.manifest, store.options)
    file = create_segment(disk, head, b"batches", size=1_000_000)
    assert 64 * 1024 <= file.size() < 70_000


def test_a_segment_that_cannot_be_made_leaves_nothing() -> None:
    disk = FakeDisk()
    store, _ = filled_store(disk)
    names = disk.names()
    disk.capacity = disk.used()
    with pytest.raises(OSError, match="No space"):
        create_segment(disk, new_head(99, 1, store.manifest, store.options), b"", size=1000)
    assert disk.names() == names
