"""The injected faults: each shows to the writer, and to the log, what its name says."""

from __future__ import annotations

import pytest

from amqpbroker.storage.faulty import Fault, FaultyLog
from amqpbroker.storage.log import AppendRejected, AppendTimeout, Fenced


async def test_only_the_chosen_append_fails() -> None:
    log = FaultyLog({1: Fault.REJECTED})
    writer = await log.fence(after=-1, epoch=1, owner="me")
    await writer.append([b"a"])
    with pytest.raises(AppendRejected):
        await writer.append([b"b"])
    assert await writer.append([b"c"]) == 2


@pytest.mark.parametrize(
    ("fault", "landed"), [(Fault.TIMEOUT_LANDED, True), (Fault.TIMEOUT_LOST, False)]
)
async def test_after_a_timeout_the_writer_is_dead(fault: Fault, landed: bool) -> None:
    log = FaultyLog({0: fault})
    writer = await log.fence(after=-1, epoch=1, owner="me")
    for _ in range(2):
        with pytest.raises(AppendTimeout):
            await writer.append([b"a"])
    last = (await log.extent()).last
    assert last == (1 if landed else 0)
    writer = await log.fence(after=last, epoch=2, owner="me")
    assert await writer.append([b"b"]) == last + 2


async def test_a_late_batch_defeats_the_fence_that_did_not_see_it() -> None:
    log = FaultyLog({0: Fault.TIMEOUT_LATE})
    writer = await log.fence(after=-1, epoch=1, owner="me")
    with pytest.raises(AppendTimeout):
        await writer.append([b"late"])
    assert (await log.extent()).last == 0
    with pytest.raises(Fenced):
        await log.fence(after=0, epoch=2, owner="me")
    assert [list(batch.records) async for batch in log.read(1)] == [[b"late"]]
    await log.fence(after=1, epoch=2, owner="me")


async def test_an_intruder_takes_the_log() -> None:
    log = FaultyLog({0: Fault.FENCED})
    writer = await log.fence(after=-1, epoch=1, owner="me")
    for _ in range(2):
        with pytest.raises(Fenced):
            await writer.append([b"a"])
    assert [batch.owner async for batch in log.read(0)] == ["me", "intruder"]


@pytest.mark.parametrize(
    ("fault", "error", "last"),
    [
        (Fault.TIMEOUT_LANDED, AppendTimeout, 0),
        (Fault.TIMEOUT_LOST, AppendTimeout, -1),
        (Fault.FENCED, Fenced, 0),
        (Fault.REJECTED, AppendRejected, -1),
    ],
)
async def test_a_fence_can_fail_too(fault: Fault, error: type[Exception], last: int) -> None:
    log = FaultyLog(fence_faults={0: fault})
    with pytest.raises(error):
        await log.fence(after=-1, epoch=1, owner="me")
    assert (await log.extent()).last == last
    await log.fence(after=last, epoch=9, owner="me")
