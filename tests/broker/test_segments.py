"""What may be deleted, what is compacted, and that nothing is lost or comes back by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest
from pamqp import commands

from amqpbroker.broker.runs import Run
from amqpbroker.broker.segments import HELD_COUNT_MAX, Segment, Segments
from amqpbroker.storage.faulty import Fault, FaultyLog
from amqpbroker.storage.log import LogUnavailable
from amqpbroker.storage.memory import MemoryLog
from tests.broker.durable import PERSISTENT, DurableBroker, lent, running

if TYPE_CHECKING:
    from tests.broker.client import MemoryClient

SMALL = 700
BODY = 20


def segments(*alive: int, enqueued: int = 10) -> tuple[Segments, list[Segment]]:
    """Return segments with so many messages alive, of ten."""
    made = [Segment(number * 10) for number in range(len(alive))]
    for segment, count in zip(made, alive, strict=True):
        segment.enqueued_count = enqueued
        if count:
            segment.count(1, count)
    return Segments(made), made


# which may go


def test_a_segment_is_dead_when_nothing_in_it_is_alive() -> None:
    all_, made = segments(1, 0, 0, 0)
    assert all_.dead() == made[1:3]


def test_the_segment_that_is_written_to_is_never_dead() -> None:
    all_, _ = segments(0)
    assert all_.dead() == []


def test_a_segment_that_speaks_of_a_living_one_is_kept() -> None:
    all_, made = segments(1, 0, 0, 0, 0)
    made[1].references.add(made[0])
    made[3].references.add(made[1])
    assert all_.dead() == [made[2]]


def test_a_segment_goes_together_with_what_it_speaks_of() -> None:
    all_, made = segments(0, 0, 0, 0)
    made[1].references.add(made[0])
    made[2].references |= {made[0], made[1]}
    assert all_.dead() == made[:3]
    all_.remove(set(made[:2]))
    assert list(all_) == made[2:]
    assert not made[2].references


def test_counts_of_a_queue_come_and_go() -> None:
    segment = Segment(0)
    segment.count(1, 2)
    segment.count(2, 3)
    segment.count(1, -2)
    assert (segment.alive, segment.alive_count) == ({2: 3}, 3)


def test_another_segment_becomes_the_active_one() -> None:
    all_ = Segments()
    first = all_.active(0)
    assert all_.active(0) is first
    assert [segment.first for segment in (first, all_.active(7))] == [0, 7]


# which are compacted


def test_thin_segments_are_compacted() -> None:
    all_, made = segments(3, 2, 10, 1, 1)
    assert list(all_.to_compact()) == [made[1], made[3]]


def test_what_is_on_its_way_is_not_compacted_again() -> None:
    all_, made = segments(1, 0)
    made[0].is_moving = True
    assert list(all_.to_compact()) == []


def test_full_segments_are_compacted_when_more_are_dead_than_alive() -> None:
    held = HELD_COUNT_MAX + 2
    all_, made = segments(9, 9, *[0] * held, 0)
    assert list(all_.to_compact()) == []
    all_, made = segments(9, 9, *[0] * (held + 1), 0)
    assert list(all_.to_compact()) == made[:2]


# with a broker


async def small() -> DurableBroker:
    """Return a broker whose segments hold four messages."""
    return await running(MemoryLog(segment_size=SMALL))


async def put(durable: DurableBroker, client: MemoryClient, *bodies: str, to: str = "q") -> None:
    """Publish each body in a batch of its own."""
    for body in bodies:
        client.publish(to, body.encode().ljust(BODY), header=PERSISTENT)
        await durable.commit()


def bodies(client: MemoryClient, queue: str = "q") -> list[str]:
    return [body.decode().strip() for body in client.get_all(queue)]


async def recovered(durable: DurableBroker, queue: str = "q") -> list[str]:
    """Restart the broker and return what is in a queue."""
    await durable.start()
    return bodies(durable.connect(), queue)


async def pass_through(durable: DurableBroker, client: MemoryClient, count: int) -> None:
    """Publish and settle, each message in the batch after its own: a chain of references."""
    for number in range(count):
        client.publish("q", b"%d" % number, header=PERSISTENT)
        await durable.commit()
        assert client.get("q") is not None


NUMBERS = [f"{number}" for number in range(40)]


async def test_the_log_is_deleted_behind_the_consumers() -> None:
    durable = await small()
    client = durable.connect()
    client.declare("q", durable=True)
    for _ in range(5):
        await put(durable, client, *NUMBERS)
        assert bodies(client) == NUMBERS
        await durable.commit()
    assert durable.segment_count <= 2
    assert await recovered(durable) == []


async def test_nothing_is_deleted_before_what_was_settled_is_written() -> None:
    # A dead letter moves: its old segment must outlive a crash before the new record is written.
    durable = await small()
    client = durable.connect()
    dead_letter = {"x-dead-letter-exchange": ("S", b""), "x-dead-letter-routing-key": ("S", b"r")}
    client.declare("q", dead_letter, durable=True)
    for name in ("r", "other"):
        client.declare(name, durable=True)
    await put(durable, client, "moved")
    await put(durable, client, *NUMBERS[:10], to="other")
    client.queue("other").purge()
    message = lent(client, "q")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(durable.journal.commit)
        await anyio.lowlevel.checkpoint()
        client.nack(message.tag, requeue=False)
    assert await recovered(durable) == ["moved"]


async def test_one_old_message_does_not_keep_the_whole_log() -> None:
    durable = await small()
    client = durable.connect()
    client.declare("old", durable=True)
    client.declare("q", durable=True)
    await put(durable, client, "old", to="old")
    await pass_through(durable, client, 100)
    assert durable.segment_count > 20
    await durable.compact()
    assert durable.segment_count <= 3
    assert await recovered(durable, "old") == ["old"]


async def test_a_backlog_does_not_keep_what_came_after_it() -> None:
    # Segments of the backlog are not thin, but half of what was in them is settled elsewhere.
    durable = await small()
    client = durable.connect()
    for name in ("parked", "q"):
        client.declare(name, durable=True)
    for number in NUMBERS:
        client.publish("parked", number.encode(), header=PERSISTENT)
        await pass_through(durable, client, 1)
    alive_count = durable.segment_count
    await pass_through(durable, client, 300)
    assert durable.segment_count > 3 * alive_count
    for _ in range(2 * alive_count):
        await durable.compact()
    assert durable.segment_count <= 2 * alive_count + HELD_COUNT_MAX + 1
    assert await recovered(durable, "parked") == NUMBERS


async def test_compaction_takes_its_time() -> None:
    durable = await small()
    client = durable.connect()
    client.declare("q", durable=True)
    await put(durable, client, *NUMBERS)
    message = client.get("q", no_ack=False)
    assert message is not None
    for _ in range(30):
        client.get("q")
    await durable.commit()
    count = len(await durable.batches())
    durable.clock.now += 0.5
    await durable.commit()
    await durable.commit()
    assert len(await durable.batches()) == count


async def thinned() -> tuple[DurableBroker, MemoryClient]:
    """Return a broker with a thin segment, which is not the active one.

    Of the messages ``0`` to ``3`` only ``1`` is left, in the queues ``a`` and ``b``.
    """
    durable = await small()
    client = durable.connect()
    client.declare("other", durable=True)
    for name in ("a", "b"):
        client.declare(name, durable=True)
        client.bind(name, "amq.fanout")
    for body in (b"0", b"1", b"2", b"3"):
        client.publish("", body.ljust(BODY), exchange="amq.fanout", header=PERSISTENT)
        await durable.commit()
    await put(durable, client, *NUMBERS[:12], to="other")
    for name in ("a", "b"):
        kept = [client.get(name, no_ack=False) for _ in range(4)]
        for message in kept:
            if message is not None and not message.body.startswith(b"1"):
                client.ack(message.tag)
        client.nack(0, multiple=True)
    client.queue("other").purge()
    await durable.commit()
    return durable, client


async def stage_rewrite(durable: DurableBroker, client: MemoryClient) -> Segment:
    """Have what is alive in the thin segment staged once more; return the segment."""
    durable.clock.now += 2
    client.publish("other", b"x", header=PERSISTENT)
    await durable.commit()
    (segment,) = [s for s in durable.journal.segments if s.is_moving]
    return segment


async def test_what_is_alive_is_written_once_more() -> None:
    durable, client = await thinned()
    segment = await stage_rewrite(durable, client)
    assert segment.alive_count == 2
    await durable.commit()
    assert segment.alive_count == 0
    assert segment not in list(durable.journal.segments)
    await durable.start()
    client = durable.connect()
    assert bodies(client, "a") == bodies(client, "b") == ["1"]


async def test_a_crash_before_the_rewrite_is_written_loses_nothing() -> None:
    durable, client = await thinned()
    await stage_rewrite(durable, client)
    await durable.start()
    client = durable.connect()
    assert bodies(client, "a") == bodies(client, "b") == ["1"]


@pytest.mark.parametrize("is_settled_in", [{"a"}, {"b"}, {"a", "b"}])
async def test_what_is_settled_while_the_rewrite_is_staged_stays_away(
    is_settled_in: set[str],
) -> None:
    durable, client = await thinned()
    await stage_rewrite(durable, client)
    for name in is_settled_in:
        assert bodies(client, name) == ["1"]
    await durable.commit()
    await durable.compact()
    await durable.start()
    client = durable.connect()
    for name in ("a", "b"):
        assert bodies(client, name) == ([] if name in is_settled_in else ["1"])


@pytest.mark.parametrize("is_settled_in", [{"a"}, {"b"}, {"a", "b"}])
async def test_what_is_settled_while_the_rewrite_is_written_stays_away(
    is_settled_in: set[str],
) -> None:
    durable, client = await thinned()
    await stage_rewrite(durable, client)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(durable.journal.commit)
        await anyio.lowlevel.checkpoint()
        for name in is_settled_in:
            assert bodies(client, name) == ["1"]
    await durable.commit()
    await durable.compact()
    await durable.start()
    client = durable.connect()
    for name in ("a", "b"):
        assert bodies(client, name) == ([] if name in is_settled_in else ["1"])


async def test_what_is_on_loan_is_moved_too() -> None:
    durable, client = await thinned()
    message = lent(client, "a")
    segment = await stage_rewrite(durable, client)
    await durable.commit()
    assert segment.alive_count == 0
    client.ack(message.tag)
    await durable.commit()
    await durable.start()
    client = durable.connect()
    assert (bodies(client, "a"), bodies(client, "b")) == ([], ["1"])


async def test_what_is_settled_in_an_open_transaction_is_moved_too() -> None:
    durable, client = await thinned()
    client.call(commands.Tx.Select(), commands.Tx.SelectOk)
    message = lent(client, "a")
    client.ack(message.tag)
    other = durable.connect()
    segment = await stage_rewrite(durable, other)
    await durable.commit()
    assert segment.alive_count == 0
    await durable.call(client, commands.Tx.Commit())
    client.read(commands.Tx.CommitOk)
    await durable.start()
    client = durable.connect()
    assert (bodies(client, "a"), bodies(client, "b")) == ([], ["1"])


async def test_a_queue_that_is_deleted_meanwhile_holds_nothing() -> None:
    durable, client = await thinned()
    segment = await stage_rewrite(durable, client)
    client.delete("a")
    await durable.commit()
    assert segment.alive_count == 0
    await durable.start()
    assert bodies(durable.connect(), "b") == ["1"]


async def test_what_is_on_loan_from_a_deleted_queue_does_not_hold_up_the_others() -> None:
    durable, client = await thinned()
    for name in ("a", "b"):
        assert client.get(name, no_ack=False) is not None
        client.delete(name)
    client.declare("late", durable=True)
    await put(durable, client, "late", to="late")
    await put(durable, client, *NUMBERS[:12], to="other")
    client.queue("other").purge()
    await durable.commit()
    await durable.compact()
    await durable.compact()  # one segment after the other
    alive = [s for s in durable.journal.segments if client.queue("late").id in s.alive]
    assert alive == list(durable.journal.segments)[-1:]


async def test_a_copy_on_loan_from_a_deleted_queue_moves_with_the_others() -> None:
    durable, client = await thinned()
    lent(client, "a")
    client.delete("a")
    await durable.compact()
    client.ack(0, multiple=True)
    await durable.commit()
    counts = [segment.alive for segment in durable.journal.segments if segment.alive]
    assert counts == [{client.queue("b").id: 1}]
    assert await recovered(durable, "b") == ["1"]


async def test_survivors_keep_their_order_and_when_they_came() -> None:
    durable = await small()
    durable.clock.now = 5
    client = durable.connect()
    client.declare("q", durable=True)
    await put(durable, client, *NUMBERS[:30])
    durable.clock.now = 50
    lent = [client.get("q", no_ack=False) for _ in range(30)]
    for number, message in enumerate(lent):
        if message is not None and number % 5:
            client.ack(message.tag)
    client.nack(0, multiple=True)
    for _ in range(20):
        await durable.compact()
    assert durable.segment_count < 4
    assert await recovered(durable) == NUMBERS[:30:5]
    client = durable.connect()
    assert {m.run.timestamp_ms for m in client.queue("q").ready if isinstance(m.run, Run)} <= {5000}


async def test_a_segment_that_cannot_be_deleted_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    durable = await small()
    client = durable.connect()
    client.declare("q", durable=True)
    drop = durable.log.drop
    failures = [LogUnavailable("the disk is full")]

    async def failing(start: int, stop: int) -> None:
        if failures:
            raise failures.pop()
        await drop(start, stop)

    monkeypatch.setattr(durable.log, "drop", failing)
    await put(durable, client, *NUMBERS)
    client.queue("q").purge()
    await durable.commit()
    assert "cannot delete old segments, trying again later: the disk is full" in caplog.text
    assert durable.segment_count > 5
    await put(durable, client, "new")
    assert durable.segment_count <= 2


async def test_a_rewrite_that_is_rejected_loses_nothing() -> None:
    log = FaultyLog(segment_size=SMALL)
    durable = await running(log)
    client = durable.connect()
    client.declare("old", durable=True)
    client.declare("q", durable=True)
    await put(durable, client, "old", to="old")
    await put(durable, client, *NUMBERS)
    client.queue("q").purge()
    durable.clock.now += 2
    await durable.commit()
    log.append_faults[log.appends] = Fault.TIMEOUT_LOST
    await durable.commit()
    assert durable.journal.failure is not None
    assert await recovered(durable, "old") == ["old"]
