"""The journal: staged by handlers, committed in batches, and confirmed after that only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest
from pamqp import commands

from amqpbroker.storage.catalog import CatalogError, ChangeRefused
from amqpbroker.storage.faulty import Fault, FaultyLog
from amqpbroker.storage.log import LogUnavailable
from amqpbroker.storage.memory import MemoryLog
from amqpbroker.storage.shard_record import EnqueueRecord, SettleRecord
from tests.amqp_bytes import command_frame, properties
from tests.broker.durable import PERSISTENT, DurableBroker, lent, running, sequences

if TYPE_CHECKING:
    from tests.broker.client import MemoryClient

EMPTY = {"x-dead-letter-exchange": ("S", b""), "x-dead-letter-routing-key": ("S", b"dead")}
FAILURES = (Fault.TIMEOUT_LANDED, Fault.TIMEOUT_LOST, Fault.TIMEOUT_LATE, Fault.FENCED)


@pytest.fixture
async def durable() -> DurableBroker:
    """A broker on a log in memory."""
    return await running()


def with_queue(durable: DurableBroker, *names: str) -> MemoryClient:
    """Return a client, with durable queues declared."""
    client = durable.connect()
    for name in names or ("q",):
        client.declare(name, durable=True)
    return client


def publish(client: MemoryClient, queue: str, *bodies: bytes) -> None:
    client.publish(queue, *bodies, header=PERSISTENT)


def confirming(client: MemoryClient) -> MemoryClient:
    client.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
    return client


def transactional(client: MemoryClient) -> MemoryClient:
    client.call(commands.Tx.Select(), commands.Tx.SelectOk)
    return client


# what is written


async def test_all_that_is_staged_is_one_batch(durable: DurableBroker) -> None:
    client, other = with_queue(durable, "q", "r"), durable.connect()
    publish(client, "q", b"1", b"2")
    publish(other, "r", b"3")
    assert await durable.batches() == []
    await durable.commit()
    assert len(await durable.batches()) == 1
    assert [sequences(record) for record in await durable.records()] == [[1], [2], [3]]


async def test_transient_messages_and_queues_write_nothing(durable: DurableBroker) -> None:
    client = with_queue(durable)
    client.declare("transient")
    client.publish("q", b"1")
    publish(client, "transient", b"2")
    await durable.commit()
    assert await durable.batches() == []


async def test_a_body_is_stored_once_for_all_its_queues(durable: DurableBroker) -> None:
    client = with_queue(durable, "a", "b")
    for name in ("a", "b"):
        client.bind(name, "amq.fanout")
    client.publish("", b"body", exchange="amq.fanout", header=PERSISTENT)
    await durable.commit()
    (record,) = await durable.records()
    assert isinstance(record, EnqueueRecord)
    assert (record.queue_ids, bytes(record.bodies)) == ((1, 2), b"body")


async def test_what_is_settled_before_its_commit_is_never_written(durable: DurableBroker) -> None:
    client = confirming(with_queue(durable))
    client.consume("q", no_ack=True)
    publish(client, "q", b"1", b"2")
    assert client.delivers(2) == [b"1", b"2"]
    assert client.acked() == []
    await durable.commit()
    assert client.acked() == [(2, True)]
    assert await durable.batches() == []


async def test_what_is_left_of_a_run_is_written(durable: DurableBroker) -> None:
    client = with_queue(durable, "a", "b")
    for name in ("a", "b"):
        client.bind(name, "amq.fanout")
    client.publish("", b"0", b"1", b"2", b"3", exchange="amq.fanout", header=PERSISTENT)
    client.get_all("a")
    assert [client.get("b"), client.get("b")]
    client.publish("", b"4", exchange="amq.fanout", header=PERSISTENT)
    assert client.get("b")
    await durable.commit()
    records = await durable.records()
    written = [(r.queue_ids, sequences(r)) for r in records if isinstance(r, EnqueueRecord)]
    assert written == [((2,), [4]), ((1, 2), [5])]


async def test_what_is_settled_later_is_written_as_settled(durable: DurableBroker) -> None:
    client = with_queue(durable)
    publish(client, "q", b"1", b"2", b"3")
    await durable.commit()
    client.get("q")
    client.queue("q").purge()
    await durable.commit()
    assert (await durable.records())[2:] == [SettleRecord(1, [(1, 3)])]


async def test_a_message_settled_while_it_is_being_written_is_settled_in_the_next_batch(
    durable: DurableBroker,
) -> None:
    client = with_queue(durable)
    publish(client, "q", b"1")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(durable.journal.commit)
        await anyio.lowlevel.checkpoint()
        assert client.get("q") is not None
    await durable.commit()
    assert (await durable.records())[1:] == [SettleRecord(1, [(1, 1)])]


async def test_a_dead_letter_is_in_the_batch_that_settles_it(durable: DurableBroker) -> None:
    client = with_queue(durable, "dead")
    client.declare("q", EMPTY, durable=True)
    publish(client, "q", b"1")
    await durable.commit()
    message = lent(client, "q")
    client.nack(message.tag, requeue=False)
    await durable.commit()
    enqueue, settle = (await durable.records())[1:]
    assert (sequences(enqueue), settle) == ([2], SettleRecord(2, [(1, 1)]))
    assert len(await durable.batches()) == 2


# transactions


async def test_a_transaction_is_one_batch(durable: DurableBroker) -> None:
    client = with_queue(durable, "a", "b")
    publish(client, "a", b"1")
    await durable.commit()
    transactional(client)
    message = lent(client, "a")
    publish(client, "a", b"2")
    publish(client, "b", b"3")
    client.ack(message.tag)
    await durable.commit()
    assert len(await durable.batches()) == 1
    await durable.call(client, commands.Tx.Commit())
    client.read(commands.Tx.CommitOk)
    batch = (await durable.batches())[1]
    assert len(batch.records) == 3


async def test_commit_ok_waits_for_the_disk(durable: DurableBroker) -> None:
    client = transactional(with_queue(durable))
    publish(client, "q", b"1")
    commit = command_frame(commands.Tx.Commit(), 1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.session.receive, commit)
        await anyio.wait_all_tasks_blocked()
        assert client.is_silent
        await durable.commit()
    durable.broker.flush()
    client.read(commands.Tx.CommitOk)


async def test_a_large_transaction_is_not_divided() -> None:
    durable = await running(MemoryLog(batch_size_max=1000))
    client = transactional(with_queue(durable))
    publish(client, "q", bytes(400), bytes(400))
    await durable.call(client, commands.Tx.Commit())
    assert len(await durable.batches()) == 1


async def test_what_many_handlers_stage_is_divided_into_batches() -> None:
    durable = await running(MemoryLog(batch_size_max=1000))
    client = confirming(with_queue(durable))
    for _ in range(5):
        publish(client, "q", bytes(300))
    assert durable.journal.ticket == 3
    await durable.journal.commit()
    assert client.acked() == [(2, True)]
    await durable.commit()
    assert client.acked() == [(4, True), (5, False)]
    assert len(await durable.batches()) == 3


async def test_what_a_later_batch_settles_is_still_written_by_the_earlier_one() -> None:
    durable = await running(MemoryLog(batch_size_max=1000))
    client = with_queue(durable, "dead")
    client.declare("q", EMPTY, durable=True)
    publish(client, "q", bytes(300), bytes(300))
    client.nack(lent(client, "q").tag, requeue=False)
    assert durable.journal.ticket == 2
    await durable.journal.commit()
    assert [sequences(record) for record in await durable.records()] == [[1], [2]]
    await durable.commit()
    assert (await durable.records())[3] == SettleRecord(2, [(1, 1)])
    await durable.start()
    client = durable.connect()
    assert (client.get_all("q"), client.get_all("dead")) == ([bytes(300)], [bytes(300)])


# confirms


async def test_confirms_wait_for_the_commit(durable: DurableBroker) -> None:
    client = confirming(with_queue(durable))
    publish(client, "q", b"1")
    publish(client, "q", b"2")
    assert client.acked() == []
    await durable.commit()
    assert client.acked() == [(2, True)]


async def test_what_came_during_a_commit_waits_for_the_next(durable: DurableBroker) -> None:
    client = confirming(with_queue(durable))
    publish(client, "q", b"1")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(durable.journal.commit)
        await anyio.lowlevel.checkpoint()
        publish(client, "q", b"2")
    assert client.acked() == [(1, False)]
    await durable.commit()
    assert client.acked() == [(2, False)]


async def test_the_task_commits_what_is_staged(durable: DurableBroker) -> None:
    client = confirming(with_queue(durable))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(durable.journal.run)
        for number in range(3):
            publish(client, "q", b"%d" % number)
            await anyio.wait_all_tasks_blocked()
            assert client.acked() == [(number + 1, False)]
        tasks.cancel_scope.cancel()
    assert len(await durable.batches()) == 3


async def test_the_task_writes_all_batches_that_are_staged() -> None:
    durable = await running(MemoryLog(batch_size_max=1000))
    client = confirming(with_queue(durable))
    for _ in range(5):
        publish(client, "q", bytes(300))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(durable.journal.run)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert client.acked()[-1][0] == 5


# a full disk


async def test_a_full_disk_is_waited_for() -> None:
    log = FaultyLog({0: Fault.REJECTED, 1: Fault.REJECTED})
    durable = await running(log)
    client = confirming(with_queue(durable))
    publish(client, "q", b"1")
    alarms = []
    sleep = durable.journal._sleep

    async def sleep_and_look(delay_s: float) -> None:
        alarms.append(durable.broker.alarms.reason)
        assert durable.journal.is_blocked
        assert client.acked() == []
        publish(client, "q", b"2")
        await sleep(delay_s)

    durable.journal._sleep = sleep_and_look
    await durable.commit()
    assert alarms == ["low on disk"] * 2
    assert not durable.broker.alarms
    assert not durable.journal.is_blocked
    assert client.acked() == [(1, False)]
    await durable.commit()
    assert client.acked() == [(3, True)]
    assert [sequences(record) for record in await durable.records()] == [[1], [2], [3]]


async def test_who_waits_for_confirms_when_the_disk_is_full_is_told() -> None:
    durable = await running(FaultyLog({0: Fault.REJECTED, 1: Fault.REJECTED}))
    waiting = confirming(with_queue(durable))
    publish(waiting, "q", b"1")
    others = [durable.connect(), confirming(durable.connect())]
    sleep = durable.journal._sleep

    async def sleep_and_look(delay_s: float) -> None:
        if durable.journal._sleep is sleep_and_look:
            durable.journal._sleep = sleep
            assert waiting.read(commands.Connection.Blocked, 0).reason == "low on disk"
            assert all(other.is_silent for other in (waiting, *others))
        await sleep(delay_s)

    durable.journal._sleep = sleep_and_look
    await durable.commit()
    assert durable.journal._sleep is sleep
    waiting.read(commands.Connection.Unblocked, 0)
    assert waiting.acked() == [(1, False)]
    assert all(other.is_silent for other in (waiting, *others))


async def test_consumers_go_on_while_the_disk_is_full() -> None:
    durable = await running(FaultyLog({0: Fault.REJECTED}))
    client = with_queue(durable)
    publish(client, "q", b"1")

    async def consume(_delay_s: float) -> None:
        assert client.get_all("q") == [b"1"]

    durable.journal._sleep = consume
    await durable.commit()
    await durable.commit()
    assert [sequences(record) for record in await durable.records()] == [[1], [1]]


async def test_a_broker_that_stops_does_not_wait_for_a_full_disk() -> None:
    durable = await running(FaultyLog(dict.fromkeys(range(1, 99), Fault.REJECTED)))
    client = confirming(with_queue(durable))
    publish(client, "q", b"1")
    await durable.commit()
    publish(client, "q", b"2")
    ticket = durable.journal.ticket
    durable.journal.give_up()
    await durable.journal.close()
    assert client.acked() == [(1, False)]
    with pytest.raises(LogUnavailable, match="rejected"):
        await durable.journal.wait(ticket)
    assert durable.slept == []


# a log that fails


@pytest.mark.parametrize("fault", FAILURES)
async def test_after_a_failure_nothing_is_confirmed_any_more(fault: Fault) -> None:
    durable = await running(FaultyLog({1: fault}))
    client = confirming(with_queue(durable))
    publish(client, "q", b"1")
    await durable.commit()
    publish(client, "q", b"2")
    await durable.commit()
    publish(client, "q", b"3")
    await durable.commit()
    assert client.acked() == [(1, False)]
    assert durable.broker.alarms.reason == "storage cannot be written"
    assert client.get_all("q") == [b"1", b"2", b"3"]


@pytest.mark.parametrize("fault", FAILURES)
async def test_after_a_failure_a_transaction_ends_in_541(fault: Fault) -> None:
    durable = await running(FaultyLog({0: fault}))
    client, other = transactional(with_queue(durable)), transactional(durable.connect())
    for each in (client, other):
        publish(each, "q", b"1")
        await durable.call(each, commands.Tx.Commit())
        close = each.read(commands.Connection.Close, 0)
        assert close.reply_code == 541
        assert (close.reply_text or "").startswith("INTERNAL_ERROR - not stored: injected")


@pytest.mark.parametrize("fault", FAILURES)
async def test_after_a_failure_what_needs_no_record_is_not_confirmed_either(fault: Fault) -> None:
    durable = await running(FaultyLog({0: fault}))
    client, consumer = confirming(with_queue(durable)), durable.connect()
    publish(client, "q", b"1")
    ticket = durable.journal.ticket
    await durable.commit()
    client.get_all("q")
    consumer.consume("q", no_ack=True)
    publish(client, "q", b"2")
    await durable.commit()
    assert client.acked() == []
    with pytest.raises(LogUnavailable):
        await durable.journal.wait(ticket)


async def test_what_landed_although_it_timed_out_is_there_after_a_restart() -> None:
    durable = await running(FaultyLog({0: Fault.TIMEOUT_LANDED, 1: Fault.TIMEOUT_LOST}))
    client = with_queue(durable)
    publish(client, "q", b"1")
    await durable.commit()
    await durable.start()
    client = durable.connect()
    publish(client, "q", b"2")
    await durable.commit()
    await durable.start()
    assert durable.connect().get_all("q") == [b"1"]


async def test_a_batch_that_can_never_be_written_is_not_tried_for_ever() -> None:
    durable = await running(MemoryLog(batch_size_max=1000))
    client = confirming(with_queue(durable))
    publish(client, "q", bytes(2000))
    await durable.commit()
    assert client.acked() == []
    assert durable.journal.failure is not None
    assert durable.slept == []


# the end


async def test_closing_writes_what_is_staged() -> None:
    durable = await running(MemoryLog(batch_size_max=1000))
    client = confirming(with_queue(durable))
    for _ in range(5):
        publish(client, "q", bytes(300))
    await durable.journal.close()
    assert client.acked()[-1][0] == 5
    await durable.start()
    assert len(durable.connect().get_all("q")) == 5


async def test_closing_writes_nothing_where_nothing_is_staged(durable: DurableBroker) -> None:
    await durable.journal.close()
    assert await durable.batches() == []


# definitions


async def test_no_message_is_written_before_its_queue(durable: DurableBroker) -> None:
    client = confirming(durable.connect())
    durable.catalog.is_held = True
    client.send_command(commands.Queue.Declare(queue="q", durable=True, nowait=True))
    publish(client, "q", b"1")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(durable.commit)
        await anyio.wait_all_tasks_blocked()
        assert await durable.batches() == []
        assert client.acked() == []
        durable.catalog.succeed()
    assert len(await durable.batches()) == 1
    assert client.acked() == [(1, False)]
    assert client.queue("q").definition is None


async def test_nothing_is_confirmed_in_a_queue_that_is_not_stored(durable: DurableBroker) -> None:
    client = confirming(durable.connect())
    durable.catalog.is_held = True
    client.send_command(commands.Queue.Declare(queue="q", durable=True, nowait=True))
    durable.catalog.fail(CatalogError("damaged"))
    for _ in range(2):
        publish(client, "q", b"1")
        await durable.commit()
    assert client.acked() == []
    assert durable.journal.failure == "damaged"


async def test_a_queue_that_the_catalog_refused_does_not_stop_the_others(
    durable: DurableBroker, caplog: pytest.LogCaptureFixture
) -> None:
    client = confirming(durable.connect())
    durable.catalog.is_held = True
    client.send_command(commands.Queue.Declare(queue="q", durable=True, nowait=True))
    durable.catalog.fail(ChangeRefused("twice"))
    publish(client, "q", b"1")
    await durable.commit()
    assert client.acked() == [(1, False)]
    assert "queue 'q' will not survive a restart: twice" in caplog.text


async def test_messages_of_a_deleted_queue_are_gone(durable: DurableBroker) -> None:
    client = with_queue(durable)
    publish(client, "q", b"1")
    await durable.commit()
    client.delete("q")
    client.declare("q", durable=True)
    await durable.commit()
    assert len(await durable.records()) == 1
    await durable.start()
    assert durable.connect().get_all("q") == []


async def test_priority_and_time_to_live_survive(durable: DurableBroker) -> None:
    client = durable.connect()
    client.declare("q", {"x-max-priority": ("B", 5)}, durable=True)
    for priority in (1, 5, 3):
        header = properties(delivery_mode=2, priority=priority)
        client.publish("q", b"%d" % priority, header=header)
    await durable.commit()
    await durable.start()
    assert durable.connect().get_all("q") == [b"5", b"3", b"1"]
