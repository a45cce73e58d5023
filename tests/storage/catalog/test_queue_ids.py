"""Ids of queues are never used twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpbroker.storage.catalog import CatalogError
from amqpbroker.storage.catalog.queue_ids import AHEAD, QueueIds
from tests.storage.catalog.samples import VHOST, opened, queue

if TYPE_CHECKING:
    from pathlib import Path


def test_no_id_is_handed_out_before_a_limit_is_committed() -> None:
    ids = QueueIds(7)
    with pytest.raises(CatalogError, match="until the catalog can be written"):
        ids.next()
    assert ids.wanted_limit() == 7 + AHEAD
    ids.committed(7 + AHEAD)
    assert [ids.next(), ids.next()] == [8, 9]


def test_a_limit_is_wanted_again_long_before_the_end_and_once() -> None:
    ids = QueueIds(0)
    ids.committed(AHEAD)
    ids.last = AHEAD // 2 - 1
    assert ids.wanted_limit() is None
    ids.next()
    assert ids.wanted_limit() == AHEAD // 2 + AHEAD
    assert ids.wanted_limit() is None


def test_a_limit_that_failed_is_wanted_again() -> None:
    ids = QueueIds(0)
    assert ids.wanted_limit() == AHEAD
    assert ids.wanted_limit() is None
    ids.failed()
    assert ids.wanted_limit() == AHEAD


async def test_ids_go_on_after_a_restart_even_if_the_queue_is_gone(tmp_path: Path) -> None:
    async with opened(tmp_path / "c") as catalog:
        catalog.put_vhost(VHOST)
        first = queue(catalog, "q")
        catalog.put_queue(first)
        await catalog.delete_queue(first.id).wait()
    async with opened(tmp_path / "c") as catalog:
        assert catalog.next_queue_id() == first.id + 1


async def test_more_ids_than_a_limit_allows(tmp_path: Path) -> None:
    async with opened(tmp_path / "c") as catalog:
        for _ in range(3):
            for _ in range(AHEAD // 2):
                last = catalog.next_queue_id()
            await catalog.put_vhost(VHOST).wait()
        assert last == 3 * (AHEAD // 2)
    async with opened(tmp_path / "c") as catalog:
        assert catalog.next_queue_id() == last + 1
