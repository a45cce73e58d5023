"""Queues that are not ordinary: limits, times, priorities and dead letters in one queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pamqp import commands

from amqpbroker.broker.bodies import in_memory
from amqpbroker.broker.indexed_ready import IndexedReady
from amqpbroker.broker.ready import ReadyMessages
from amqpbroker.broker.settings import QueueSettings
from amqpbroker.storage.shard_record import EnqueueRecord, SettleRecord
from tests.amqp_bytes import properties
from tests.broker.client import MemoryClient, connect, make_broker
from tests.broker.clock import Clock
from tests.broker.durable import PERSISTENT, DurableBroker, running, sequences

if TYPE_CHECKING:
    from amqpbroker.broker.broker import Broker
    from tests.amqp_bytes import TypedTable

TO_GRAVE: TypedTable = {
    "x-dead-letter-exchange": ("S", ""),
    "x-dead-letter-routing-key": ("S", "grave"),
}


@pytest.fixture
def clock(broker: Broker) -> Clock:
    """The clock that the broker's timers go by."""
    clock = Clock()
    broker.timers.now = clock
    return clock


def advance(broker: Broker, clock: Clock, seconds: float) -> None:
    clock.now += seconds
    while (due := broker.timers.fire()) is not None and due <= clock.now:
        pass


def bodies(client: MemoryClient, queue: str) -> list[bytes]:
    return in_memory(list(client.queue(queue).ready))


def expiring(ms: int) -> bytes:
    return properties(expiration=str(ms))


# what a queue is


def test_an_ordinary_queue_has_nothing_of_it(client: MemoryClient) -> None:
    client.publish(client.declare("q"), b"x")
    queue = client.queue("q")
    assert queue.is_ordinary
    assert type(queue.ready) is ReadyMessages
    assert (queue.limits, queue.expiry, queue.lease) == (None, None, None)
    assert len(client.broker.timers) == 0


def test_priorities_alone_cost_publishing_nothing(client: MemoryClient) -> None:
    client.declare("q", {"x-max-priority": ("I", 3)})
    assert client.queue("q").is_ordinary
    assert isinstance(client.queue("q").ready, IndexedReady)


def test_an_ordinary_queue_learns_to_expire(client: MemoryClient, clock: Clock) -> None:
    client.declare("q")
    client.publish("q", b"1", b"2")
    client.publish("q", b"x", header=expiring(1000))
    client.publish("q", b"3")
    assert bodies(client, "q") == [b"1", b"2", b"x", b"3"]
    advance(client.broker, clock, 1)
    assert bodies(client, "q") == [b"1", b"2", b"3"]
    assert len(client.broker.timers) == 0


def test_messages_on_loan_come_back_to_a_queue_that_has_learned(
    client: MemoryClient, clock: Clock
) -> None:
    client.declare("q")
    client.publish("q", b"1", b"2")
    held = client.get("q", no_ack=False)
    assert held is not None
    client.publish("q", b"x", header=expiring(1000))
    client.nack(held.tag)
    assert bodies(client, "q") == [b"1", b"2", b"x"]


@pytest.mark.parametrize("end", ["delete", "purge"])
def test_a_queue_that_is_emptied_leaves_no_timer(
    client: MemoryClient, clock: Clock, end: str
) -> None:
    client.declare("q", {"x-message-ttl": ("I", 1000)})
    client.publish("q", b"x")
    assert len(client.broker.timers) == 1
    if end == "delete":
        client.delete("q")
    else:
        client.call(commands.Queue.Purge(queue="q"), commands.Queue.PurgeOk)
        advance(client.broker, clock, 1)
    assert len(client.broker.timers) == 0


def test_a_deleted_queue_has_no_lease(client: MemoryClient, clock: Clock) -> None:
    client.declare("q", {"x-expires": ("I", 1000)})
    client.delete("q")
    assert len(client.broker.timers) == 0


def test_a_consumer_is_told_when_nobody_is(client: MemoryClient, clock: Clock) -> None:
    client.declare("q", {"x-expires": ("I", 1000)})
    client.consume("q", tag="c")
    advance(client.broker, clock, 5)
    client.cancel("c")
    advance(client.broker, clock, 0.9)
    assert "q" in client.broker.vhosts["/"].queues
    advance(client.broker, clock, 0.1)
    assert "q" not in client.broker.vhosts["/"].queues


# deadlines


def test_an_expired_message_is_not_delivered_even_if_timers_are_late(
    client: MemoryClient, clock: Clock
) -> None:
    client.declare("q", {"x-message-ttl": ("I", 1000)})
    client.publish("q", b"1")
    clock.now = 1
    assert client.get("q") is None
    client.publish("q", b"2")
    clock.now = 2
    client.consume("q")
    assert client.messages() == []
    client.publish("q", b"3")
    assert client.messages() == [b"3"]


def test_a_late_timer_does_not_make_a_queue_full(client: MemoryClient, clock: Clock) -> None:
    limit = {"x-max-length": ("I", 1), "x-overflow": ("S", "reject-publish")}
    client.declare("q", {"x-message-ttl": ("I", 1000), **limit})
    client.publish("q", b"1")
    clock.now = 1
    client.publish("q", b"2")
    assert bodies(client, "q") == [b"2"]


def test_a_requeued_message_expires_when_it_is_due(client: MemoryClient, clock: Clock) -> None:
    client.declare("q", {"x-message-ttl": ("I", 1000)})
    client.consume("q", tag="c")
    client.publish("q", b"1", b"2")
    client.messages()
    client.cancel("c")
    clock.now = 0.5
    client.nack(1)
    assert bodies(client, "q") == [b"1"]
    advance(client.broker, clock, 0.5)
    client.nack(2)
    assert bodies(client, "q") == []


def test_new_settings_count_for_new_messages(client: MemoryClient, clock: Clock) -> None:
    client.declare("q", {"x-message-ttl": ("I", 1000)})
    client.publish("q", b"1")
    client.queue("q").apply(QueueSettings(message_ttl_ms=5000))
    client.publish("q", b"2")
    client.queue("q").apply(QueueSettings())
    client.publish("q", b"3")
    for seconds, left in ((1, [b"2", b"3"]), (4, [b"3"]), (1000, [b"3"])):
        advance(client.broker, clock, seconds)
        assert bodies(client, "q") == left


def test_new_limits_are_in_force_at_once(client: MemoryClient) -> None:
    client.declare("grave")
    client.publish(client.declare("q"), b"1", b"2", b"3")
    client.queue("q").apply(
        QueueSettings(max_length=1, dead_letter_exchange="", dead_letter_routing_key="grave")
    )
    assert bodies(client, "q") == [b"3"]
    assert bodies(client, "grave") == [b"1", b"2"]


def test_a_new_lease_replaces_the_old(client: MemoryClient, clock: Clock) -> None:
    client.declare("q", {"x-expires": ("I", 1000)})
    client.queue("q").apply(QueueSettings(expires_ms=5000))
    advance(client.broker, clock, 4)
    assert "q" in client.broker.vhosts["/"].queues
    client.queue("q").apply(QueueSettings())
    advance(client.broker, clock, 9)
    assert "q" in client.broker.vhosts["/"].queues


# dead letters that come back


def test_two_full_queues_that_feed_each_other(client: MemoryClient) -> None:
    for queue, other in (("a", "b"), ("b", "a")):
        arguments = {"x-max-length": ("I", 1), "x-dead-letter-exchange": ("S", "")}
        client.declare(queue, {**arguments, "x-dead-letter-routing-key": ("S", other)})
    client.publish("b", b"b")
    client.publish("a", b"1", b"2", b"3")
    assert len(bodies(client, "a")) == len(bodies(client, "b")) == 1


def test_a_letter_that_comes_during_a_publish_is_not_taken_for_new(client: MemoryClient) -> None:
    # a's expired messages push an older one out of b, which comes to a while a is busy.
    to_b = {"x-dead-letter-exchange": ("S", ""), "x-dead-letter-routing-key": ("S", "b")}
    limit = {"x-max-length": ("I", 2), "x-overflow": ("S", "reject-publish")}
    client.declare("a", {**limit, **to_b})
    to_a = {"x-dead-letter-exchange": ("S", ""), "x-dead-letter-routing-key": ("S", "a")}
    client.declare("b", {"x-max-length": ("I", 1), **to_a})
    client.publish("b", b"old")
    client.publish("a", b"1")
    client.publish("a", b"2", header=expiring(0))
    assert sorted(bodies(client, "a")) == [b"1", b"old"]
    assert bodies(client, "b") == [b"2"]


# one by one, or all at once


@hypothesis_settings(deadline=None, max_examples=60)
@given(
    arguments=st.fixed_dictionaries(
        {},
        optional={
            "x-max-length": st.integers(0, 4).map(lambda n: ("I", n)),
            "x-max-length-bytes": st.integers(0, 8).map(lambda n: ("I", n)),
            "x-overflow": st.sampled_from(
                ["drop-head", "reject-publish", "reject-publish-dlx"]
            ).map(lambda name: ("S", name)),
            "x-message-ttl": st.sampled_from([0, 1000]).map(lambda n: ("I", n)),
            "x-max-priority": st.integers(0, 2).map(lambda n: ("I", n)),
        },
    ),
    consumers=st.lists(st.integers(1, 3), max_size=3),
    runs=st.lists(
        st.tuples(st.integers(1, 6), st.integers(0, 3), st.integers(0, 3), st.booleans()),
        max_size=4,
    ),
)
def test_a_run_fares_as_its_messages_would_one_by_one(
    arguments: TypedTable, consumers: list[int], runs: list[tuple[int, int, int, bool]]
) -> None:
    outcomes = [
        outcome(arguments, consumers, runs, is_batch=is_batch) for is_batch in (True, False)
    ]
    assert outcomes[0] == outcomes[1]


def outcome(
    arguments: TypedTable,
    consumers: list[int],
    runs: list[tuple[int, int, int, bool]],
    *,
    is_batch: bool,
) -> Any:
    """Return what was delivered, is ready, died, and was refused."""
    broker = make_broker()
    broker.timers.now = Clock()
    publisher = connect(broker)
    publisher.declare("grave")
    publisher.declare("q", {**arguments, **TO_GRAVE})
    publisher.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
    readers = [connect(broker) for _ in consumers]
    for reader, prefetch in zip(readers, consumers, strict=True):
        reader.qos(prefetch)
        reader.consume("q")
    number = 0
    for count, size, priority, is_expiring in runs:
        values: dict[str, Any] = {"priority": priority}
        if is_expiring:
            values["expiration"] = "0"
        numbers = range(number, number + count)
        run = [b"%02d" % n + b"x" * size for n in numbers]
        number += count
        for batch in [run] if is_batch else [[body] for body in run]:
            publisher.publish("q", *batch, header=properties(**values))
    settled: dict[int, str] = {}
    while not publisher.is_silent:
        command: Any = publisher.read_frame().command
        tag, multiple = command["delivery_tag"], command["multiple"]
        for n in range(1, tag + 1) if multiple else [tag]:
            settled.setdefault(n, command.name)
    return (
        [reader.messages() for reader in readers],
        bodies(publisher, "q"),
        sorted(bodies(publisher, "grave")),
        settled,
    )


# on disk


async def durable_queues(durable: DurableBroker, arguments: TypedTable) -> MemoryClient:
    client = durable.connect()
    client.declare("grave", durable=True)
    client.declare("q", {**arguments, **TO_GRAVE}, durable=True)
    return client


async def test_dying_and_arriving_are_one_batch() -> None:
    durable = await running()
    client = await durable_queues(durable, {})
    client.publish("q", b"1", b"2", header=PERSISTENT)
    await durable.commit()
    held = client.get("q", no_ack=False)
    assert held is not None
    client.reject(held.tag, requeue=False)
    await durable.commit()
    batches = await durable.batches()
    assert len(batches) == 2
    enqueue, settle = (await durable.records())[-2:]
    assert isinstance(enqueue, EnqueueRecord)
    assert isinstance(settle, SettleRecord)
    assert (enqueue.routing_key, sequences(settle)) == (b"grave", [1])
    await durable.start()
    client = durable.connect()
    assert bodies(client, "grave") == [b"1"]
    assert bodies(client, "q") == [b"2"]


async def test_what_is_refused_is_never_written() -> None:
    durable = await running()
    limit = {"x-max-length": ("I", 1), "x-overflow": ("S", "reject-publish")}
    client = await durable_queues(durable, limit)
    client.publish("q", b"1", b"2", b"3", header=PERSISTENT)
    await durable.commit()
    assert [sequences(record) for record in await durable.records()] == [[1]]


async def test_what_a_full_queue_drops_is_gone_after_a_restart() -> None:
    durable = await running()
    client = await durable_queues(durable, {"x-max-length": ("I", 1)})
    for body in (b"1", b"2"):
        client.publish("q", body, header=PERSISTENT)
        await durable.commit()
    await durable.start()
    client = durable.connect()
    assert bodies(client, "q") == [b"2"]
    assert bodies(client, "grave") == [b"1"]


async def test_deadlines_go_on_over_a_restart() -> None:
    durable = await running()
    client = await durable_queues(durable, {"x-message-ttl": ("I", 10_000)})
    client.publish("q", b"old", header=PERSISTENT)
    durable.clock.now = 4
    client.publish("q", b"new", header=PERSISTENT)
    client.publish("q", b"short", header=properties(delivery_mode=2, expiration="3000"))
    await durable.commit()
    durable.clock.now = 8
    await durable.start()
    client = durable.connect()
    broker = durable.broker
    clock = Clock()
    clock.now = broker.timers.now()
    broker.timers.now = clock
    assert bodies(client, "q") == [b"old", b"new", b"short"]
    for seconds, left in ((0.1, [b"old", b"new"]), (2, [b"new"]), (4, [])):
        advance(broker, clock, seconds)
        assert bodies(client, "q") == left
    await durable.commit()
    await durable.start()
    client = durable.connect()
    assert bodies(client, "q") == []
    assert bodies(client, "grave") == [b"short", b"old", b"new"]


async def test_an_expiration_makes_an_ordinary_queue_expire_after_a_restart() -> None:
    durable = await running()
    client = durable.connect()
    client.declare("q", durable=True)
    client.publish("q", b"x", header=properties(delivery_mode=2, expiration="1000"))
    await durable.commit()
    durable.clock.now = 2
    await durable.start()
    assert bodies(durable.connect(), "q") == [b"x"]
    durable.broker.timers.fire()
    assert bodies(durable.connect(), "q") == []


async def test_priorities_are_there_after_a_restart() -> None:
    durable = await running()
    client = await durable_queues(durable, {"x-max-priority": ("I", 5)})
    for priority in (1, 5, 0, 9):
        header = properties(delivery_mode=2, priority=priority)
        client.publish("q", b"%d" % priority, header=header)
    await durable.commit()
    await durable.start()
    client = durable.connect()
    message = client.get("q")
    assert message is not None
    assert (message.body, message.redelivered) == (b"5", True)
    assert client.get_all("q") == [b"9", b"1", b"0"]


async def test_blind_copies_are_known_after_a_restart() -> None:
    durable = await running()
    client = durable.connect()
    client.declare("grave", durable=True)
    to_bcc = {"x-dead-letter-exchange": ("S", "")}
    client.declare("q", {**to_bcc, "x-max-priority": ("I", 1)}, durable=True)
    client.bind("q", "amq.direct", "key")
    header = properties(delivery_mode=2, headers={"BCC": ("A", [("S", "grave")])})
    client.publish("key", b"x", exchange="amq.direct", header=header)
    await durable.commit()
    await durable.start()
    client = durable.connect()
    held = client.get("q", no_ack=False)
    assert held is not None
    assert "BCC" not in held.headers
    client.reject(held.tag, requeue=False)
    letter = client.get("grave")
    assert letter is not None
    assert letter.headers["x-death"][0]["routing-keys"] == ["key"]


async def test_messages_with_deadlines_survive_compaction() -> None:
    durable = await running()
    client = durable.connect()
    for queue, ttl in (("q", {"x-message-ttl": ("I", 60_000)}), ("r", None)):
        client.declare(queue, ttl, durable=True)
        client.bind(queue, "amq.fanout")
    client.publish("", b"x", exchange="amq.fanout", header=PERSISTENT)
    await durable.commit()
    await durable.compact()
    held = client.get("q", no_ack=False)
    assert held is not None
    client.ack(held.tag)
    assert client.get_all("r") == [b"x"]
    await durable.commit()
    await durable.start()
    client = durable.connect()
    assert bodies(client, "q") == bodies(client, "r") == []
