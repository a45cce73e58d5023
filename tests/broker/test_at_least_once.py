"""Dead letters that must arrive (FEATURES A10.10)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from amqpbroker.broker.at_least_once import RETRIED_COUNT_MAX, RETRY_INTERVAL_S
from amqpbroker.broker.policies import Policy
from amqpbroker.broker.settings import QueueSettings
from amqpbroker.storage.fake_disk import FakeDisk
from amqpbroker.storage.shard_record import EnqueueRecord, SettleRecord
from tests.amqp_bytes import TypedTable, properties
from tests.broker.clock import Clock
from tests.broker.durable import DurableBroker, fake_log, lent, running, sequences

if TYPE_CHECKING:
    from amqpbroker.broker.broker import Broker
    from tests.broker.client import MemoryClient

SAFE: TypedTable = {
    "x-queue-type": ("S", b"quorum"),
    "x-overflow": ("S", b"reject-publish"),
    "x-dead-letter-strategy": ("S", b"at-least-once"),
    "x-dead-letter-exchange": ("S", b""),
    "x-dead-letter-routing-key": ("S", b"grave"),
}


@pytest.fixture
def clock(broker: Broker) -> Clock:
    """The clock that the broker's timers go by."""
    broker.timers.now = clock = Clock()
    return clock


def wait(broker: Broker, clock: Clock, seconds: float = RETRY_INTERVAL_S) -> None:
    clock.now += seconds
    while (due := broker.timers.fire()) is not None and due <= clock.now:
        pass


def declare(client: MemoryClient, name: str = "q", **arguments: Any) -> str:
    named: TypedTable = {f"x-{key.replace('_', '-')}": field for key, field in arguments.items()}
    return client.declare(name, {**SAFE, **named}, durable=True)


def kill(client: MemoryClient, *bodies: bytes, queue: str = "q") -> None:
    """Publish and reject messages."""
    for body in bodies:
        client.publish(queue, body)
        client.nack(lent(client, queue).tag, requeue=False)


def held(client: MemoryClient, queue: str = "q") -> int:
    return len(client.queue(queue).held)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("strategy", "overflow", "exchange", "expected"),
    [
        ("at-least-once", "reject-publish", "x", True),
        ("at-least-once", "reject-publish", None, False),
        ("at-least-once", "drop-head", "x", False),
        ("at-most-once", "reject-publish", "x", False),
    ],
)
def test_which_settings_ask_for_it(
    strategy: str, overflow: str, exchange: str | None, expected: bool
) -> None:
    settings = QueueSettings(
        overflow=overflow, dead_letter_strategy=strategy, dead_letter_exchange=exchange
    )
    assert settings.is_safe == expected


def test_what_falls_back_to_once_at_most_is_logged(
    client: MemoryClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "amqpbroker.quorum_queue"):
        declare(client, overflow=("S", b"drop-head"))
        kill(client, b"1")
    assert "queue 'q': dead letters are sent at most once" in caplog.text
    assert held(client) == 0


def test_what_arrives_is_gone(client: MemoryClient) -> None:
    client.declare("grave")
    declare(client)
    kill(client, b"1", b"2")
    letter = client.get("grave")
    assert letter is not None
    assert (letter.body, letter.headers["x-death"][0]["reason"]) == (b"1", "rejected")
    assert held(client) == 0


def test_what_has_nowhere_to_go_is_held_and_sent_again(
    client: MemoryClient, broker: Broker, clock: Clock
) -> None:
    declare(client)
    kill(client, b"1", b"2")
    assert (client.counts("q"), held(client)) == ((0, 0), 2)
    wait(broker, clock)
    assert held(client) == 2
    client.declare("grave")
    wait(broker, clock)
    assert held(client) == 0
    assert client.get_all("grave") == [b"1", b"2"]
    assert len(broker.timers) == 0


def test_a_missing_exchange_is_waited_for(
    client: MemoryClient, broker: Broker, clock: Clock
) -> None:
    declare(client, dead_letter_exchange=("S", b"later"))
    kill(client, b"1")
    wait(broker, clock)
    assert held(client) == 1
    broker.vhosts["/"].policies.put(Policy("p", "", {"message-ttl": 60_000}))
    wait(broker, clock)
    assert held(client) == 1


def test_only_who_has_refused_is_asked_again(
    client: MemoryClient, broker: Broker, clock: Clock
) -> None:
    full: TypedTable = {"x-max-length": ("I", 0), "x-overflow": ("S", b"reject-publish")}
    client.bind(client.declare("open"), "amq.fanout")
    client.bind(client.declare("full", full), "amq.fanout")
    declare(client, dead_letter_exchange=("S", b"amq.fanout"))
    kill(client, b"1")
    wait(broker, clock)
    assert held(client) == 1
    client.delete("full")
    wait(broker, clock)
    assert held(client) == 0
    assert client.get_all("open") == [b"1"]


def test_letters_are_sent_again_in_turns(
    client: MemoryClient, broker: Broker, clock: Clock
) -> None:
    declare(client)
    count = 2 * RETRIED_COUNT_MAX
    kill(client, *[b"%d" % number for number in range(count)])
    client.declare("grave")
    clock.now += RETRY_INTERVAL_S
    broker.timers.fire()
    assert 0 < held(client) < count
    wait(broker, clock, 0)
    assert client.get_all("grave") == [b"%d" % number for number in range(count)]


def test_what_is_held_counts_for_the_limit(client: MemoryClient) -> None:
    declare(client, max_length=("I", 2))
    kill(client, b"1", b"2")
    client.publish("q", b"3", b"4", b"5")
    assert client.counts("q") == (1, 0)


def test_what_only_goes_round_is_gone(client: MemoryClient, broker: Broker, clock: Clock) -> None:
    declare(client, dead_letter_routing_key=("S", b"q"), message_ttl=("I", 100))
    client.publish("q", b"1")
    wait(broker, clock, 1)
    assert (client.counts("q"), held(client)) == ((0, 0), 0)


def test_a_long_chain_of_queues_needs_no_stack(client: MemoryClient) -> None:
    for number in range(400):
        key = ("S", b"%d" % (number + 1))
        declare(client, f"{number}", dead_letter_routing_key=key, message_ttl=("I", 0))
    client.declare("400")
    client.publish("0", b"1")
    assert client.get_all("400") == [b"1"]


def test_other_settings_end_the_waiting(client: MemoryClient, broker: Broker, clock: Clock) -> None:
    policies = broker.vhosts["/"].policies
    definition = {"dead-letter-strategy": "at-least-once", "dead-letter-exchange": "none"}
    policies.put(Policy("p", "", {**definition, "overflow": "reject-publish"}))
    client.declare("q", {"x-queue-type": ("S", b"quorum")}, durable=True)
    kill(client, b"1")
    assert held(client) == 1
    policies.delete("p")
    wait(broker, clock)
    assert held(client) == 0


def test_a_deleted_queue_holds_nothing(client: MemoryClient, broker: Broker, clock: Clock) -> None:
    declare(client)
    kill(client, b"1")
    client.publish("q", b"2")
    client.queue("q").purge()
    assert held(client) == 1
    client.delete("q")
    client.declare("grave")
    wait(broker, clock)
    assert client.get("grave") is None
    assert not list(broker.vhosts["/"].dead_letters.held)


# on disk


async def durable_client(durable: DurableBroker | None = None) -> tuple[DurableBroker, Any]:
    durable = durable or await running()
    client = durable.connect()
    declare(client)
    return durable, client


async def test_a_letter_and_its_settle_are_one_batch() -> None:
    durable, client = await durable_client()
    client.declare("grave", durable=True)
    client.publish("q", b"1", header=properties(delivery_mode=2))
    await durable.commit()
    client.nack(lent(client, "q").tag, requeue=False)
    await durable.commit()
    assert len(await durable.batches()) == 2
    enqueue, settle = (await durable.records())[1:]
    assert isinstance(enqueue, EnqueueRecord)
    assert (enqueue.queue_ids, sequences(enqueue)) == ((2,), [2])
    assert settle == SettleRecord(1, [(1, 1)])


async def test_what_is_held_is_settled_when_it_has_arrived() -> None:
    durable, client = await durable_client()
    kill(client, b"1")
    await durable.commit()
    assert not any(isinstance(record, SettleRecord) for record in await durable.records())
    client.declare("grave", durable=True)
    durable.clock.now += RETRY_INTERVAL_S
    durable.broker.timers.fire()
    await durable.commit()
    assert SettleRecord(1, [(1, 1)]) in await durable.records()


async def test_what_is_held_is_in_the_queue_again_after_a_restart() -> None:
    durable, client = await durable_client()
    kill(client, b"1")
    await durable.commit()
    await durable.start()
    assert durable.connect().get_all("q") == [b"1"]


async def test_what_is_held_is_moved_when_the_log_is_compacted() -> None:
    durable, client = await durable_client(await running(await fake_log(FakeDisk())))
    client.declare("other", durable=True)
    kill(client, b"1")
    for _ in range(100):
        client.publish("other", b"x" * 40, header=properties(delivery_mode=2))
        await durable.commit()
        client.get("other")
    await durable.compact()
    assert durable.segment_count <= 3
    await durable.start()
    assert durable.connect().get_all("q") == [b"1"]


async def test_what_a_deleted_queue_held_does_not_keep_the_log() -> None:
    durable, client = await durable_client(await running(await fake_log(FakeDisk())))
    kill(client, b"1")
    await durable.commit()
    assert [segment.alive_count for segment in durable.journal.segments] == [1]
    client.delete("q")
    await durable.commit()
    assert [segment.alive_count for segment in durable.journal.segments] == [0]
