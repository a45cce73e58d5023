"""What is particular to the log in memory; the rest is in test_log_contract."""

from __future__ import annotations

from uuid import UUID

import pytest

from amqpbroker.storage.log import AppendRejected, Fenced
from amqpbroker.storage.memory import MemoryLog, check_end, check_owner, check_records


async def test_clock_and_incarnation_can_be_given() -> None:
    log = MemoryLog(now_ms=lambda: 42, incarnation=UUID(int=1))
    await log.fence(after=-1, epoch=1, owner="me")
    assert [batch.timestamp_ms async for batch in log.read(0)] == [42]
    assert (await log.extent()).incarnation == UUID(int=1)


async def test_a_changed_list_of_records_does_not_change_the_log() -> None:
    log = MemoryLog()
    writer = await log.fence(after=-1, epoch=1, owner="me")
    records = [b"a"]
    await writer.append(records)
    records[0] = b"changed"
    assert [list(batch.records) async for batch in log.read(1)] == [[b"a"]]


def test_the_checks_return_sizes() -> None:
    assert check_records([b"ab", b"c"], 3) == 3
    assert check_owner("ö") == 2
    with pytest.raises(AppendRejected, match="4 bytes, at most 3"):
        check_records([b"abcd"], 3)


def test_a_fence_needs_the_end_and_a_higher_epoch() -> None:
    check_end(5, 5, 3, 2)
    with pytest.raises(Fenced, match="ends at 6, not at 5"):
        check_end(5, 6, 3, 2)
    with pytest.raises(Fenced, match="epoch 3 owns"):
        check_end(5, 5, 3, 3)
