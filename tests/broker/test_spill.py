"""Bodies of transient messages beyond the memory budget (FEATURES S22, S24)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import anyio
import pytest
from pamqp import commands

from amqpbroker.broker.spill import RETRY_DELAY_S, RUN_SIZE
from amqpbroker.storage.fake_disk import FakeDisk
from tests.broker.clock import advance
from tests.broker.durable import PERSISTENT, DurableBroker, running
from tests.broker.tiny_memory import BODIES, LIMIT, TO_GRAVE, pager_of, present

if TYPE_CHECKING:
    from tests.amqp_bytes import TypedTable
    from tests.broker.client import MemoryClient


@pytest.fixture
async def durable() -> DurableBroker:
    """A broker with room for ten bodies of ten bytes, that spills two of them at a time."""
    return await running(spill=FakeDisk(), body_memory_limit=LIMIT)


async def spill(durable: DurableBroker) -> None:
    spilling = pager_of(durable).spill
    while spilling.has_work:
        spilling._work = anyio.Event()
        await spilling.serve()


async def filled(
    durable: DurableBroker, arguments: TypedTable | None = None, *, is_durable: bool = False
) -> MemoryClient:
    """Return a client, with ``BODIES`` in q, published in fours."""
    client = durable.connect()
    client.declare("q", arguments, durable=is_durable)
    for start in range(0, len(BODIES), 4):
        client.publish("q", *BODIES[start : start + 4])
        await spill(durable)
    return client


async def drained(durable: DurableBroker, client: MemoryClient, queue: str = "q") -> list[bytes]:
    client.consume(queue, tag="drain", no_ack=True)
    await durable.read_back()
    found = client.messages()
    client.cancel("drain")
    return found


def used(durable: DurableBroker) -> int:
    """Return how many bytes are spilled on the disk."""
    assert isinstance(durable.spill, FakeDisk)
    return durable.spill.used()


# out


async def test_within_the_budget_nothing_is_spilled(durable: DurableBroker) -> None:
    client = durable.connect()
    client.publish(client.declare("q"), *BODIES[:10])
    await spill(durable)
    assert all(present(client))
    assert (pager_of(durable).size, pager_of(durable).is_used, used(durable)) == (100, False, 0)


@pytest.mark.parametrize("is_durable", [False, True])
async def test_what_comes_when_the_budget_is_used_up_is_spilled(
    durable: DurableBroker, is_durable: bool
) -> None:
    client = await filled(durable, is_durable=is_durable)
    assert present(client) == [True] * 8 + [False] * 32
    assert (pager_of(durable).size, pager_of(durable).paged_size) == (80, 320)
    assert await drained(durable, client) == BODIES
    assert pager_of(durable).size == pager_of(durable).paged_size == 0


async def test_durable_messages_use_up_the_same_budget(durable: DurableBroker) -> None:
    client = durable.connect()
    client.declare("kept", durable=True)
    client.publish("kept", *BODIES[:10], header=PERSISTENT)
    await durable.commit()
    client.publish(client.declare("q"), *BODIES[:4])
    await spill(durable)
    assert all(present(client, "kept"))
    assert not any(present(client))
    assert await drained(durable, client) == BODIES[:4]


async def test_a_few_are_waited_for(durable: DurableBroker) -> None:
    client = durable.connect()
    client.publish(client.declare("q"), *BODIES[:10])
    client.publish("q", BODIES[10])
    assert not pager_of(durable).spill.has_work
    client.publish("q", BODIES[11])
    await spill(durable)
    assert present(client) == [True] * 10 + [False] * 2


async def test_what_is_gone_before_is_not_written(durable: DurableBroker) -> None:
    client = durable.connect()
    client.publish(client.declare("full"), *BODIES[:10])
    client.publish(client.declare("q"), *BODIES[:10])
    assert await drained(durable, client) == BODIES[:10]
    await spill(durable)
    assert used(durable) == 0
    assert pager_of(durable).size == 100


async def test_what_is_delivered_at_once_does_not_count(durable: DurableBroker) -> None:
    client = durable.connect()
    client.consume(client.declare("q"), no_ack=True)
    client.publish("q", *BODIES)
    assert client.messages() == BODIES
    assert pager_of(durable).size == 0


async def test_without_a_place_to_spill_everything_stays() -> None:
    durable = await running(body_memory_limit=LIMIT)
    client = durable.connect()
    client.publish(client.declare("q"), *BODIES)
    assert all(present(client))
    assert pager_of(durable).size == 0
    assert await drained(durable, client) == BODIES


async def test_messages_that_come_one_after_the_other_count_together() -> None:
    durable = await running(spill=FakeDisk(), body_memory_limit=1 << 20)
    client = durable.connect()
    for name in ("a", "b"):
        client.declare(name)
    for queue in "aaab":
        client.publish(queue, bytes(RUN_SIZE // 2))
    runs = {id(message.run): message.run for queue in "ab" for message in client.queue(queue).ready}
    sizes = [run.memory_size for run in runs.values() if run is not None]
    assert sizes == [RUN_SIZE, RUN_SIZE // 2, RUN_SIZE // 2]
    del runs
    client.queue("a").purge()
    assert pager_of(durable).size == RUN_SIZE // 2


# back


async def test_nobody_waits_for_a_read(durable: DurableBroker) -> None:
    client = await filled(durable)
    client.consume("q", no_ack=True)
    assert client.messages() == BODIES[:8]
    client.publish(client.declare("other"), b"meanwhile")
    assert client.get_all("other") == [b"meanwhile"]
    await durable.read_back()
    assert client.messages() == BODIES[8:]


async def test_unsettled_messages_go_too_and_come_again_in_their_places(
    durable: DurableBroker,
) -> None:
    client = durable.connect()
    client.publish(client.declare("full"), *BODIES[:10])
    client.publish(client.declare("q"), *BODIES)
    client.consume("q", tag="c")
    assert client.messages() == BODIES
    await spill(durable)
    client.cancel("c")
    client.nack(0, multiple=True)
    assert not any(present(client))
    assert await drained(durable, client) == BODIES


async def test_sizes_may_differ(durable: DurableBroker) -> None:
    client = durable.connect()
    client.publish(client.declare("full"), *BODIES[:10])
    client.declare("q")
    bodies = [bytes([65 + size % 26]) * size for size in (200, 0, 30, 30, 1, 0, 0, 60)]
    for body in bodies:
        client.publish("q", body)
    await spill(durable)
    assert not any(present(client))
    assert await drained(durable, client) == bodies


async def test_dead_letters_take_their_bodies_along(durable: DurableBroker) -> None:
    durable.connect().declare("grave", durable=True)
    client = await filled(durable, {**TO_GRAVE, "x-max-length": ("I", 4)})
    assert await drained(durable, client) == BODIES[-4:]
    assert await drained(durable, client, "grave") == BODIES[:-4]


async def test_expiring_messages_are_spilled_and_expire(durable: DurableBroker) -> None:
    durable.connect().declare("grave")
    client = await filled(durable, {**TO_GRAVE, "x-message-ttl": ("I", 1000)})
    assert present(client).count(False) == 32
    durable.clock.now += 2
    client.queue("q").pump()
    assert await drained(durable, client, "grave") == BODIES


@pytest.mark.parametrize(
    "arguments",
    [
        {"x-max-priority": ("b", 3)},
        {"x-partitions": ("I", 3)},
        {"x-message-groups": ("t", True)},
        {"x-delayed-retry-min": ("I", 1000)},
    ],
)
async def test_all_kinds_of_queues_spill(durable: DurableBroker, arguments: TypedTable) -> None:
    client = await filled(durable, arguments)
    assert False in present(client)
    assert await drained(durable, client) == BODIES


async def test_a_message_that_comes_back_with_a_count_keeps_its_body(
    durable: DurableBroker,
) -> None:
    client = await filled(durable, {"x-delayed-retry-min": ("I", 1000)})
    client.consume("q", tag="c")
    await durable.read_back()
    assert client.messages() == BODIES
    client.cancel("c")
    client.nack(0, multiple=True)
    advance(durable.broker.timers, durable.clock, 5)
    assert await drained(durable, client) == BODIES


async def test_a_transaction_that_settles_them_waits_for_nothing(durable: DurableBroker) -> None:
    client = await filled(durable, is_durable=True)
    client.call(commands.Tx.Select(), commands.Tx.SelectOk)
    client.consume("q", tag="c")
    await durable.read_back()
    assert client.messages() == BODIES
    client.ack(0, multiple=True)
    client.call(commands.Tx.Commit(), commands.Tx.CommitOk)
    await durable.commit()
    assert await durable.records() == []


# what is left


async def test_when_all_is_gone_nothing_is_left_on_the_disk(durable: DurableBroker) -> None:
    client = await filled(durable)
    assert used(durable) > 0
    assert await drained(durable, client) == BODIES
    await spill(durable)
    assert used(durable) == 0
    pager = pager_of(durable)
    assert (pager.size, pager.paged_size, pager.is_used, len(pager.cache)) == (0, 0, False, 0)
    client = await filled(durable)
    assert await drained(durable, client) == BODIES


async def test_segments_go_as_the_queue_drains(durable: DurableBroker) -> None:
    client = durable.connect()
    client.declare("q")
    bodies = [b"%d" % number * 300 for number in range(9)]
    for body in bodies:
        client.publish("q", body)
        await spill(durable)
    sizes = [used(durable)]
    client.qos(1)
    client.consume("q")
    for _ in bodies:
        await durable.read_back()
        client.ack(0, multiple=True)
        await spill(durable)
        sizes.append(used(durable))
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) > 4
    assert sizes[-1] == 0
    assert client.messages() == bodies


async def test_a_purge_and_a_deletion_free_the_disk(durable: DurableBroker) -> None:
    client = await filled(durable)
    client.queue("q").purge()
    await spill(durable)
    assert used(durable) == 0
    client = await filled(durable)
    client.delete("q")
    await spill(durable)
    assert (used(durable), pager_of(durable).size, pager_of(durable).paged_size) == (0, 0, 0)


async def test_the_log_does_not_see_them(durable: DurableBroker) -> None:
    client = await filled(durable, is_durable=True)
    assert await drained(durable, client) == BODIES
    await durable.commit()
    assert await durable.records() == []


async def test_a_restart_throws_them_away(durable: DurableBroker) -> None:
    await filled(durable, is_durable=True)
    assert used(durable) > 0
    assert isinstance(durable.spill, FakeDisk)
    durable.spill.restart(power_cut=False)
    await durable.start()
    assert used(durable) == 0
    client = durable.connect()
    assert client.get_all("q") == []
    client = await filled(durable, is_durable=True)
    assert await drained(durable, client) == BODIES


# when the disk does not take them, or not give them back


async def test_a_full_disk_leaves_them_in_memory(
    durable: DurableBroker, caplog: pytest.LogCaptureFixture
) -> None:
    assert isinstance(durable.spill, FakeDisk)
    durable.spill.capacity = 10
    client = await filled(durable)
    assert all(present(client))
    assert set(durable.slept) == {RETRY_DELAY_S}
    (record,) = caplog.records
    assert record.getMessage().startswith("cannot spill, transient messages stay in memory: ")
    durable.spill.capacity = None
    client.publish("q", *BODIES)
    await spill(durable)
    assert present(client) == [True] * 40 + [False] * 40
    assert await drained(durable, client) == BODIES * 2
    assert not durable.broker.alarms


async def test_publishers_are_to_wait_while_the_disk_is_behind(durable: DurableBroker) -> None:
    spilling = pager_of(durable).spill
    client = durable.connect()
    client.publish(client.declare("full"), *BODIES[:10])
    client.publish(client.declare("q"), *BODIES[:10])
    assert spilling.is_behind
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(spilling.catch_up)
        await anyio.wait_all_tasks_blocked()
        await spill(durable)
    assert not spilling.is_behind


async def test_publishers_wait_for_no_full_disk(durable: DurableBroker) -> None:
    assert isinstance(durable.spill, FakeDisk)
    durable.spill.capacity = 10
    client = durable.connect()
    client.publish(client.declare("q"), *BODIES)
    await spill(durable)
    assert not pager_of(durable).spill.is_behind
    assert client.get_all("q") == BODIES


async def test_damage_is_told_and_nothing_wrong_is_delivered(
    durable: DurableBroker, caplog: pytest.LogCaptureFixture
) -> None:
    client = await filled(durable)
    assert isinstance(durable.spill, FakeDisk)
    for name in durable.spill.names():
        if name.endswith(".log"):
            file = durable.spill.open(name)
            file.write(200, bytes([file.read(200, 1)[0] ^ 1]))
    caplog.set_level(logging.CRITICAL)
    assert await drained(durable, client) == BODIES[:8]
    assert len(client.queue("q").ready) == 32
    assert "restart the broker" in caplog.text
    assert durable.broker.alarms.reason == "storage cannot be written"
