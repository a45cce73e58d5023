"""Which bodies stay in memory, and how the others come back (FEATURES S22, S24)."""

from __future__ import annotations

import logging
from random import Random
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from amqpbroker.storage.fake_disk import FakeDisk
from amqpbroker.storage.log import Corrupt, LogUnavailable
from amqpbroker.storage.memory import MemoryLog
from amqpbroker.storage.segment_log import SegmentLog
from tests.amqp_bytes import properties
from tests.broker.durable import PERSISTENT, DurableBroker, fake_log, running
from tests.broker.tiny_memory import BODIES, LIMIT, TO_GRAVE, pager_of, present

if TYPE_CHECKING:
    from collections.abc import Sequence

    from amqpbroker.storage.log import Batch, Offset, SegmentedLog
    from tests.amqp_bytes import TypedTable
    from tests.broker.client import MemoryClient


@pytest.fixture
async def durable() -> DurableBroker:
    """A broker with room for ten bodies of ten bytes, on a log of tiny segments."""
    return await running(await fake_log(FakeDisk()), body_memory_limit=LIMIT)


async def filled(durable: DurableBroker, arguments: TypedTable | None = None) -> MemoryClient:
    """Return a client, with ``BODIES`` in q, four in each batch."""
    client = durable.connect()
    client.declare("q", arguments, durable=True)
    for start in range(0, len(BODIES), 4):
        client.publish("q", *BODIES[start : start + 4], header=PERSISTENT)
        await durable.commit()
    return client


async def drained(durable: DurableBroker, client: MemoryClient, queue: str = "q") -> list[bytes]:
    """Consume everything."""
    client.consume(queue, tag="drain", no_ack=True)
    await durable.read_back()
    found = client.messages()
    client.cancel("drain")
    return found


# out


async def test_within_the_budget_everything_stays(durable: DurableBroker) -> None:
    client = durable.connect()
    client.declare("q", durable=True)
    client.publish("q", *BODIES[:10], header=PERSISTENT)
    await durable.commit()
    assert present(client) == [True] * 10
    assert (pager_of(durable).size, pager_of(durable).is_used) == (100, False)


async def test_what_comes_when_the_budget_is_used_up_stays_on_the_disk(
    durable: DurableBroker,
) -> None:
    client = await filled(durable)
    assert present(client) == [True] * 8 + [False] * 32
    assert (pager_of(durable).size, pager_of(durable).paged_size) == (80, 320)


async def test_nothing_goes_before_it_is_on_the_disk() -> None:
    durable = await running(body_memory_limit=LIMIT)
    client = durable.connect()
    client.declare("q", durable=True)
    for body in BODIES:
        client.publish("q", body, header=PERSISTENT)
    assert all(present(client))
    await durable.commit()
    assert present(client) == [True] * 10 + [False] * 30


async def test_transient_messages_do_not_count(durable: DurableBroker) -> None:
    client = durable.connect()
    client.declare("q", durable=True)
    client.publish("q", *BODIES)
    await durable.commit()
    assert (pager_of(durable).size, all(present(client))) == (0, True)


async def test_a_queue_that_is_not_kept_has_bodies_of_its_own(durable: DurableBroker) -> None:
    client = await filled(durable)
    client.declare("memory")
    for name in ("q", "memory"):
        client.bind(name, "amq.fanout")
    client.publish("", *BODIES[:4], exchange="amq.fanout", header=PERSISTENT)
    await durable.commit()
    assert present(client)[-2:] == [False] * 2
    assert client.messages() == []
    assert await drained(durable, client, "memory") == BODIES[:4]


async def test_an_expiring_message_goes_too(durable: DurableBroker) -> None:
    client = await filled(durable, {"x-message-ttl": ("I", 60_000)})
    assert present(client) == [True] * 8 + [False] * 32
    assert await drained(durable, client) == BODIES


async def test_what_is_gone_counts_no_more(durable: DurableBroker) -> None:
    client = await filled(durable)
    client.queue("q").purge()
    await durable.commit()
    pager = pager_of(durable)
    assert (pager.size, pager.paged_size, pager.is_used, len(pager.cache)) == (0, 0, False, 0)


async def test_a_restart_leaves_on_the_disk_what_is_too_much(durable: DurableBroker) -> None:
    await filled(durable)
    await durable.start()
    client = durable.connect()
    assert present(client).count(True) in (11, 12)
    assert present(client)[:8] == [True] * 8
    assert await drained(durable, client) == BODIES


# back


async def test_everything_comes_back_in_order(durable: DurableBroker) -> None:
    client = await filled(durable)
    assert await drained(durable, client) == BODIES
    await durable.commit()
    assert not pager_of(durable).is_used


async def test_nobody_waits_for_a_read(durable: DurableBroker) -> None:
    """The consumer gets what is there, and the rest when it has been read aside."""
    client = await filled(durable)
    client.consume("q", no_ack=True)
    assert client.messages() == BODIES[:8]
    client.publish(client.declare("other"), b"meanwhile")
    assert client.get_all("other") == [b"meanwhile"]
    await durable.read_back()
    assert client.messages() == BODIES[8:]


async def test_the_next_batch_is_read_before_it_is_needed(durable: DurableBroker) -> None:
    client = await filled(durable)
    pager = pager_of(durable)
    pager.cache.size_max = 1 << 20
    client.qos(1)
    client.consume("q")
    assert client.messages() == BODIES[:1]
    assert pager.is_reading  # though all that is needed now is in memory
    await durable.read_back()
    last = list(client.queue("q").ready)[-1]
    assert last.run is not None
    assert last.run.offset in pager.cache


async def test_get_waits_for_its_message(durable: DurableBroker) -> None:
    client = await filled(durable)
    queue = client.queue("q")
    for expected in BODIES:
        head = queue.ready.peek()
        assert head is not None
        while not pager_of(durable).has(head, lambda: None):
            await durable.read_back()
        message = client.get("q")
        assert message is not None
        assert message.body == expected


async def test_a_requeued_message_is_read_again(durable: DurableBroker) -> None:
    client = await filled(durable)
    client.consume("q", tag="c")
    await durable.read_back()
    assert client.messages() == BODIES
    client.cancel("c")
    client.nack(0, multiple=True)
    assert await drained(durable, client) == BODIES


async def test_partitions_keep_their_orders(durable: DurableBroker) -> None:
    """While one partition waits for the disk, others go on."""
    client = durable.connect()
    client.declare("q", {"x-partitions": ("I", 3)}, durable=True)
    keys = ["a", "b", "c"]
    headers = [properties(delivery_mode=2, headers={"x-partition-key": ("S", key)}) for key in keys]
    for number, body in enumerate(BODIES):
        client.publish("q", body, header=headers[number % 3])
        await durable.commit()
    found = await drained(durable, client)
    assert [[body for body in found if int(body[:9]) % 3 == part] for part in range(3)] == [
        BODIES[part::3] for part in range(3)
    ]


async def test_dead_letters_take_their_bodies_along(durable: DurableBroker) -> None:
    client = durable.connect()
    client.declare("grave", durable=True)
    client = await filled(durable, {**TO_GRAVE, "x-max-length": ("I", 6)})
    await durable.commit()
    assert await drained(durable, client, "grave") == BODIES[:-6]
    assert await drained(durable, client) == BODIES[-6:]


async def test_compaction_reads_what_it_writes(durable: DurableBroker) -> None:
    client = await filled(durable)
    kept = BODIES[10::10]
    client.consume("q", tag="c")
    await durable.read_back()
    assert client.messages() == BODIES
    for tag, body in enumerate(BODIES, 1):
        if body not in kept:
            client.ack(tag)
    await durable.commit()
    before = durable.segment_count
    for _ in range(4):
        await durable.compact()
    assert durable.segment_count < before
    client.cancel("c")
    client.nack(0, multiple=True)
    assert pager_of(durable).size + pager_of(durable).paged_size == 10 * len(kept)
    assert await drained(durable, client) == kept
    await durable.start()
    # Only settled in memory so far: what compaction wrote is what comes back.
    client = durable.connect()
    assert await drained(durable, client) == kept


# what goes wrong


class Unreliable(MemoryLog):
    """A log that cannot be read as long as there are ``errors``."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[Exception] = []

    def read_now(self, start: Offset) -> Sequence[Batch]:
        if self.errors:
            raise self.errors.pop()
        return super().read_now(start)


@pytest.fixture
def log() -> Unreliable:
    return Unreliable()


@pytest.fixture
async def fragile(log: Unreliable) -> DurableBroker:
    """A broker that cannot always read back."""
    return await running(log, body_memory_limit=LIMIT)


async def test_a_read_that_fails_is_tried_again(
    fragile: DurableBroker, log: Unreliable, caplog: pytest.LogCaptureFixture
) -> None:
    client = await filled(fragile)
    log.errors = [LogUnavailable("no answer from the disk")] * 3
    client.consume("q", no_ack=True)
    assert client.messages() == BODIES[:8]
    await fragile.read_back()
    assert client.messages() == BODIES[8:]
    assert fragile.slept == [1.0] * 3
    (line,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert line.getMessage() == (
        "cannot read messages back, their queues wait; trying again every 1 s: "
        "no answer from the disk"
    )
    assert fragile.journal.failure is None


async def test_corruption_ends_the_log_and_loses_nothing(
    fragile: DurableBroker, log: Unreliable, caplog: pytest.LogCaptureFixture
) -> None:
    client = await filled(fragile)
    client.consume("q", no_ack=False)
    log.errors = [Corrupt("00.log", 77, "wrong checksum")]
    await fragile.read_back()
    got = client.messages()
    assert 0 < len(got) < len(BODIES)
    assert got == BODIES[: len(got)]
    assert len(client.queue("q").ready) == len(BODIES) - len(got)
    assert "nothing is confirmed any more: 00.log, position 77: wrong checksum" in caplog.text
    assert "mend with `amqpbroker log repair" in caplog.text
    await fragile.start()
    assert await drained(fragile, fragile.connect()) == BODIES


async def test_a_batch_that_is_missing_is_corruption(
    fragile: DurableBroker, log: Unreliable, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await filled(fragile)
    monkeypatch.setattr(log, "read_now", lambda start: [])
    client.consume("q", no_ack=True)
    await fragile.read_back()
    assert fragile.journal.failure is not None
    assert "it is missing" in fragile.journal.failure


async def test_dead_letters_that_cannot_be_read_stay_on_the_disk(
    fragile: DurableBroker, log: Unreliable
) -> None:
    fragile.connect().declare("grave", durable=True)
    client = await filled(fragile, {**TO_GRAVE, "x-message-ttl": ("I", 1000)})
    log.errors = [Corrupt("00.log", 77, "wrong checksum")]
    fragile.clock.now += 2
    fragile.broker.timers.fire()
    await fragile.commit()
    assert fragile.journal.failure is not None
    assert len(client.queue("grave").ready) == 0
    await fragile.start()
    fragile.clock.now += 2
    fragile.broker.timers.fire()
    assert len(fragile.connect().queue("grave").ready) == len(BODIES)


async def test_compaction_that_cannot_read_ends_the_log(
    fragile: DurableBroker, log: Unreliable
) -> None:
    log._segment_size = 300
    client = await filled(fragile)
    client.consume("q", tag="c")
    await fragile.read_back()
    tags = range(1, len(BODIES) + 1)
    for tag in tags[:30]:
        if tag % 10:
            client.ack(tag)
    await fragile.commit()
    log.errors = [Corrupt("00.log", 77, "wrong checksum"), LogUnavailable("no answer")]
    await fragile.compact()
    assert fragile.slept == [1.0]
    assert fragile.journal.failure is not None
    assert fragile.journal.failure.startswith("00.log, position 77: wrong checksum")


async def test_who_pumps_in_vain_does_not_stop_the_reader(
    durable: DurableBroker, caplog: pytest.LogCaptureFixture
) -> None:
    client = await filled(durable)
    pager, last = pager_of(durable), list(client.queue("q").ready)[-1]
    called = []
    assert not pager.has(last, lambda: called.append(1 // 0))
    assert not pager.has(last, lambda: called.append(1))
    await durable.read_back()
    assert called == [1]
    assert "internal error after reading back" in caplog.text


async def test_the_reader_runs_until_it_is_cancelled(durable: DurableBroker) -> None:
    client = await filled(durable)
    client.consume("q", no_ack=True)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pager_of(durable).run)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert client.messages() == BODIES


# the same with and without


class Side:
    """One of two brokers that are told the same."""

    def __init__(self, durable: DurableBroker) -> None:
        self.durable = durable
        self.got: list[bytes] = []
        self.outstanding: list[int] = []

    async def begin(self, arguments: TypedTable) -> None:
        self.publisher = self.durable.connect()
        self.publisher.declare("grave", durable=True)
        self.publisher.declare("q", arguments, durable=True)
        self.client = self.durable.connect()
        self.client.qos(3)
        self.client.consume("q", tag="c")

    async def look(self) -> None:
        await self.durable.read_back()
        for body in self.client.messages():
            self.got.append(body)
            self.outstanding.append(len(self.got))

    def state(self) -> tuple[int, int, list[int]]:
        """Return what must be the same on both sides."""
        queue = self.client.queue("q")
        return len(queue.ready), queue.unsettled_count, self.outstanding

    def publish(self, header: bytes, bodies: Sequence[bytes]) -> None:
        self.publisher.publish("q", *bodies, header=header)

    async def settle(self, how: str, count: int) -> None:
        """Settle the oldest deliveries, each when what the one before has set free is there."""
        for tag in self.outstanding[:count]:
            if how == "ack":
                self.client.ack(tag)
            else:
                self.client.nack(tag, requeue=how == "requeue")
            self.outstanding.remove(tag)
            await self.look()

    async def pass_time(self, seconds: float) -> None:
        timers, clock = self.durable.broker.timers, self.durable.clock
        clock.now += seconds
        while (due := timers.fire()) is not None and due <= clock.now:
            pass
        await self.durable.commit()

    async def end(self) -> tuple[list[bytes], list[bytes]]:
        await self.durable.commit()
        await self.durable.start()
        client = self.durable.connect()
        queues = [await drained(self.durable, client, name) for name in ("grave", "q")]
        return queues[0], queues[1]


async def step(side: Side, random: Random, number: int) -> None:
    """Do something; ``random`` decides what, and is the same for both sides."""
    choice = random.random()
    if choice < 0.45:
        key = ("S", random.choice(("a", "b", "c")))
        header = properties(
            delivery_mode=random.choice((1, 2, 2, 2)),
            priority=random.randrange(4),
            headers={"x-group-key": key, "x-partition-key": key},
        )
        size, count = random.randrange(10, 60), random.randrange(1, 6)
        side.publish(header, [b"%d.%d" % (number, index) + bytes(size) for index in range(count)])
    elif choice < 0.75:
        how = random.choice(("ack", "ack", "requeue", "drop"))
        await side.settle(how, random.randrange(1, 4))
    elif choice < 0.78:
        side.client.queue("q").purge()
    else:
        await side.pass_time(random.choice((0.0, 0.5, 2.0)))
    await side.look()


QUEUES: dict[str, TypedTable] = {
    "ordinary": TO_GRAVE,
    "priorities": {**TO_GRAVE, "x-max-priority": ("b", 3)},
    "limit": {**TO_GRAVE, "x-max-length": ("I", 10)},
    "sticky": {**TO_GRAVE, "x-message-groups": ("t", True), "x-sticky-groups": ("t", True)},
    "groups": {**TO_GRAVE, "x-message-groups": ("t", True)},
    "quorum": {**TO_GRAVE, "x-queue-type": ("S", "quorum"), "x-delivery-limit": ("I", 3)},
    "ttl": {**TO_GRAVE, "x-message-ttl": ("I", 3000)},
}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", QUEUES)
async def test_consumers_get_the_same_with_and_without(kind: str, seed: int) -> None:
    sides = [
        Side(await running(MemoryLog(segment_size=600), body_memory_limit=limit))
        for limit in (1 << 20, 50)
    ]
    for side in sides:
        await side.begin(QUEUES[kind])
    was_paged = False
    for number in range(120):
        for side in sides:
            await step(side, Random(f"{seed} {number}"), number)
        was_paged |= pager_of(sides[1].durable).is_used
        assert sides[0].state() == sides[1].state()
        assert sides[0].got == sides[1].got
    assert was_paged
    (grave, left), (paged_grave, paged_left) = [await side.end() for side in sides]
    assert grave == paged_grave
    if kind == "sticky":  # groups do not wait for one another
        left, paged_left = sorted(left), sorted(paged_left)
    assert left == paged_left


async def test_a_message_that_is_not_in_its_batch_is_corruption(durable: DurableBroker) -> None:
    client = await filled(durable)
    last = list(client.queue("q").ready)[-1]
    last.sequence = 999
    with pytest.raises(Corrupt, match="message 999 is not in it"):
        pager_of(durable).bodies([last])


async def test_the_log_of_a_broker_reads_aside(tmp_path: Any) -> None:
    log: SegmentedLog = await fake_log(FakeDisk())
    assert isinstance(log, SegmentLog)
    assert await log.run_aside(lambda: 7) == 7
