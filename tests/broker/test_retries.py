"""Messages that come back wait, are counted, and die in the end (FEATURES N7, A9.16, S157-S159)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pamqp import commands

from amqpbroker.broker.policies import Policy
from amqpbroker.broker.retries import RELEASED_COUNT_MAX, delay_ms
from amqpbroker.broker.settings import QueueSettings
from amqpbroker.storage.fake_disk import FakeDisk
from amqpbroker.storage.faulty import Fault, FaultyLog
from amqpbroker.wire.table import Field
from tests.amqp_bytes import properties
from tests.broker.client import MemoryClient, connect, make_broker
from tests.broker.clock import START_S, advance, clocked
from tests.broker.durable import PERSISTENT, DurableBroker, fake_log, lent, running

if TYPE_CHECKING:
    from amqpbroker.broker.queue import Queue
    from tests.amqp_bytes import Message

TO_DEAD: dict[str, tuple[str, Any]] = {
    "x-dead-letter-exchange": ("S", b""),
    "x-dead-letter-routing-key": ("S", b"dead"),
}
RETRY: dict[str, tuple[str, Any]] = {"x-delayed-retry-min": ("I", 1000)}


class Bench:
    """A broker in memory with a clock; q retries, its dead letters go to dead."""

    def __init__(self, **arguments: tuple[str, Any]) -> None:
        self.broker = make_broker()
        self.clock = clocked(self.broker)
        self.client = connect(self.broker)
        self.client.declare("dead")
        named = {name.replace("_", "-"): field for name, field in arguments.items()}
        self.client.declare("q", RETRY | TO_DEAD | named)

    @property
    def queue(self) -> Queue:
        return self.client.queue("q")

    def advance(self, seconds: float) -> None:
        advance(self.broker.timers, self.clock, seconds)

    def fail(self, *, requeue: bool = True) -> Message:
        """Fetch the first message and give it back; return it."""
        message = lent(self.client, "q")
        self.client.reject(self.client.channel().last_tag, requeue=requeue)
        return message

    def waits_s(self) -> float:
        """Return how long it takes until a message is ready."""
        waited = 0.0
        while not self.queue.ready:
            assert waited < 10_000
            self.advance(0.25)
            waited += 0.25
        return waited


@pytest.fixture
def bench() -> Bench:
    return Bench()


def settings_of(**arguments: tuple[str, Any]) -> QueueSettings:
    named: Any = {f"x-delayed-retry-{name}": field for name, field in arguments.items()}
    return QueueSettings.of({name: Field(*field) for name, field in named.items()})


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, [100, 200, 300, 400]),
        ({"max": ("I", 250)}, [100, 200, 250, 250]),
        ({"multiplier": ("I", 1)}, [100, 100, 100, 100]),
        ({"multiplier": ("I", 2)}, [100, 200, 400, 800]),
        ({"multiplier": ("d", 1.5), "max": ("I", 200)}, [100, 150, 200, 200]),
        ({"max": ("I", 1)}, [1, 1, 1, 1]),
    ],
)
def test_the_delay_grows(arguments: dict[str, tuple[str, Any]], expected: list[int]) -> None:
    found = settings_of(min=("I", 100), **arguments)
    assert [delay_ms(found, count, 0.5) for count in range(1, 5)] == expected


def test_a_delay_has_a_limit_however_often_it_failed() -> None:
    found = settings_of(min=("I", 100), multiplier=("I", 10))
    assert delay_ms(found, 10_000, 0.0) == 315_360_000_000


@given(st.floats(0, 1), st.integers(1, 30), st.floats(0, 1), st.sampled_from([None, 1, 2, 3.5]))
def test_jitter_only_shortens(
    jitter: float, count: int, chance: float, multiplier: float | None
) -> None:
    arguments: dict[str, tuple[str, Any]] = {"min": ("I", 100), "max": ("I", 60_000)}
    if multiplier is not None:
        arguments["multiplier"] = ("d", multiplier)
    full = delay_ms(settings_of(**arguments), count, chance)
    found = delay_ms(settings_of(**arguments, jitter=("d", jitter)), count, chance)
    assert max(1, full * (1 - jitter) - 1) <= found <= full <= 60_000


def test_a_message_that_failed_comes_again_later_and_later() -> None:
    bench = Bench(x_delayed_retry_multiplier=("I", 2), x_delayed_retry_max=("I", 5000))
    bench.client.publish("q", b"1")
    waited = []
    counts = []
    for _ in range(5):
        counts.append(bench.fail().headers.get("x-delivery-count"))
        waited.append(bench.waits_s())
    assert waited == [1, 2, 4, 5, 5]
    assert counts == [None, 1, 2, 3, 4]


def test_others_go_on_meanwhile_and_the_place_is_kept(bench: Bench) -> None:
    bench.client.publish("q", b"1", b"2", b"3")
    bench.fail()
    assert bench.client.counts("q") == (2, 0)
    assert bench.client.get_all("q") == [b"2", b"3"]
    bench.client.publish("q", b"4")
    bench.advance(1)
    message = bench.client.get("q")
    assert message is not None
    assert message.body == b"1"
    assert isinstance(message.command, commands.Basic.GetOk)
    assert message.command.redelivered
    assert bench.client.get_all("q") == [b"4"]
    assert not len(bench.broker.timers)


def test_consumers_get_it_when_it_is_due(bench: Bench) -> None:
    bench.client.consume("q", tag="c")
    bench.client.publish("q", b"1")
    delivered = bench.client.deliver()
    bench.client.nack(delivered.tag)
    bench.advance(0.999)
    assert bench.client.is_silent
    bench.advance(0.001)
    assert bench.client.deliver().headers["x-delivery-count"] == 1


def test_it_dies_when_it_has_failed_too_often() -> None:
    bench = Bench(x_delivery_limit=("I", 2))
    bench.client.publish("q", b"1", header=properties(headers={"h": ("I", 1)}))
    for _ in range(2):
        bench.fail()
        bench.waits_s()
    bench.fail()
    assert not bench.queue.retries
    message = bench.client.get("dead")
    assert message is not None
    assert message.body == b"1"
    assert "x-delivery-count" not in message.headers
    (death,) = message.headers["x-death"]
    assert (death["reason"], death["queue"]) == ("delivery_limit", "q")
    assert death["routing-keys"] == ["q"]
    assert bench.client.counts("q") == (0, 0)
    assert bench.queue.unsettled_count == 0


def test_the_limit_is_20_where_nothing_is_said(bench: Bench) -> None:
    bench.client.publish("q", b"1")
    for _ in range(20):
        bench.fail()
        bench.advance(20)
    assert bench.client.counts("dead")[0] == 0
    bench.fail()
    assert bench.client.counts("dead")[0] == 1


def test_a_negative_limit_is_none() -> None:
    bench = Bench(x_delivery_limit=("I", -1))
    bench.client.publish("q", b"1")
    for _ in range(30):
        bench.fail()
        bench.advance(30)
    assert bench.client.counts("q")[0] == 1


def test_without_a_dead_letter_exchange_it_is_gone() -> None:
    bench = Bench()
    bench.client.declare("plain", RETRY | {"x-delivery-limit": ("I", 0)})
    bench.client.publish("plain", b"1")
    lent(bench.client, "plain")
    bench.client.reject(bench.client.channel().last_tag)
    bench.advance(5)
    assert bench.client.counts("plain") == (0, 0)


def test_what_is_rejected_for_good_dies_at_once(bench: Bench) -> None:
    bench.client.publish("q", b"1")
    bench.fail()
    bench.advance(1)
    bench.fail(requeue=False)
    message = bench.client.get("dead")
    assert message is not None
    assert message.headers["x-death"][0]["reason"] == "rejected"
    assert "x-delivery-count" not in message.headers


@pytest.mark.parametrize(
    ("kind", "failed_s", "lost_s"),
    [(b"failed", 1, 0), (b"returned", 0, 1), (b"all", 1, 1), (b"disabled", 0, 0)],
)
def test_what_waits_is_a_matter_of_type(kind: bytes, failed_s: int, lost_s: int) -> None:
    bench = Bench(x_delayed_retry_type=("S", kind), x_delayed_retry_multiplier=("I", 1))
    bench.client.publish("q", b"1")
    bench.fail()
    assert bench.waits_s() == failed_s
    other = connect(bench.broker)
    lent(other, "q")
    other.close()
    assert bench.waits_s() == lost_s
    message = bench.client.get("q")
    assert message is not None
    assert message.headers["x-delivery-count"] == 2


def test_it_expires_in_time_while_it_waits() -> None:
    bench = Bench(x_message_ttl=("I", 600))
    bench.client.publish("q", b"1")
    bench.fail()
    bench.advance(0.599)
    assert bench.client.counts("dead")[0] == 0
    bench.advance(0.001)
    message = bench.client.get("dead")
    assert message is not None
    assert message.headers["x-death"][0]["reason"] == "expired"


def test_it_expires_after_it_has_waited() -> None:
    bench = Bench(x_message_ttl=("I", 1600))
    bench.client.publish("q", b"1")
    bench.fail()
    bench.advance(1)
    assert bench.client.counts("q")[0] == 1
    bench.advance(0.6)
    assert bench.client.counts("q")[0] == 0
    assert bench.client.counts("dead")[0] == 1


def test_purge_and_delete_take_what_waits_along(bench: Bench) -> None:
    bench.client.publish("q", b"1", b"2")
    bench.fail()
    purge = commands.Queue.Purge(queue="q")
    assert bench.client.call(purge, commands.Queue.PurgeOk).message_count == 2
    bench.advance(5)
    assert bench.client.counts("q")[0] == 0
    bench.client.publish("q", b"3")
    bench.fail()
    bench.client.delete("q")
    assert not len(bench.broker.timers)


def test_a_queue_in_which_messages_wait_is_not_empty(bench: Bench) -> None:
    bench.client.publish("q", b"1")
    bench.fail()
    bench.client.send_command(commands.Queue.Delete(queue="q", if_empty=True))
    bench.client.expect_channel_error(
        406, "PRECONDITION_FAILED - queue 'q' in vhost '/' not empty", (50, 40)
    )


def test_what_is_given_back_to_a_deleted_queue_is_gone(bench: Bench) -> None:
    bench.client.publish("q", b"1")
    lent(bench.client, "q")
    bench.client.delete("q")
    bench.client.reject(1)
    bench.client.call(commands.Channel.Close(0, "", 0, 0), commands.Channel.CloseOk)


def test_limits_count_it_when_it_is_ready_again() -> None:
    bench = Bench(x_max_length=("I", 1))
    bench.client.publish("q", b"1")
    bench.fail()
    bench.client.publish("q", b"2")
    assert bench.client.counts("q")[0] == 1
    bench.advance(1)
    assert bench.client.get_all("q") == [b"2"]
    assert bench.client.get_all("dead") == [b"1"]


def test_many_are_released_in_turns(bench: Bench) -> None:
    bench.client.publish("q", *[b"x"] * (RELEASED_COUNT_MAX + 1))
    for _ in range(RELEASED_COUNT_MAX + 1):
        lent(bench.client, "q")
    bench.client.nack(0, multiple=True)
    bench.clock.now += 1
    bench.broker.timers.fire()
    assert bench.client.counts("q")[0] == RELEASED_COUNT_MAX
    bench.broker.timers.fire()
    assert bench.client.counts("q")[0] == RELEASED_COUNT_MAX + 1


def test_a_transaction_lets_it_wait_from_its_commit(bench: Bench) -> None:
    bench.client.call(commands.Tx.Select(), commands.Tx.SelectOk)
    bench.client.publish("q", b"1")
    bench.client.call(commands.Tx.Commit(), commands.Tx.CommitOk)
    bench.fail()
    bench.advance(5)
    assert bench.queue.unsettled_count == 1
    bench.client.call(commands.Tx.Commit(), commands.Tx.CommitOk)
    assert bench.waits_s() == 1


def test_a_policy_turns_retries_on_and_off() -> None:
    bench = Bench()
    bench.client.declare("plain")
    policies = bench.broker.vhosts["/"].policies
    definition = {"delayed-retry-min": 2000, "delayed-retry-multiplier": 1}
    bench.client.publish("plain", b"1")
    policies.put(Policy("p", "plain", definition))
    for _ in range(2):
        lent(bench.client, "plain")
        bench.client.reject(bench.client.channel().last_tag)
        assert bench.client.counts("plain")[0] == 0
        bench.advance(2)
    lent(bench.client, "plain")
    bench.client.reject(bench.client.channel().last_tag)
    policies.delete("p")
    assert bench.client.counts("plain")[0] == 0
    bench.advance(2)
    lent(bench.client, "plain")
    bench.client.reject(bench.client.channel().last_tag)
    assert bench.client.get_all("plain") == [b"1"]


def test_a_policy_leaves_queues_with_another_order_and_streams_alone() -> None:
    bench = Bench()
    bench.client.declare("grouped", {"x-message-groups": ("t", True)})
    bench.client.declare("stream", {"x-queue-type": ("S", b"stream")}, durable=True)
    policies = bench.broker.vhosts["/"].policies
    policies.put(Policy("p", "", {"delayed-retry-min": 2000}))
    assert bench.client.queue("grouped").retries is None
    assert bench.client.queue("stream").retries is None


# kept


async def durable(log: Any = None, **arguments: tuple[str, Any]) -> tuple[DurableBroker, Any]:
    broker = await running(log)
    broker.clock.now = START_S
    client = broker.connect(1)
    named = {name.replace("_", "-"): field for name, field in arguments.items()}
    client.declare("dead", durable=True)
    client.declare("q", RETRY | TO_DEAD | named, durable=True)
    return broker, client


async def restarted(broker: DurableBroker) -> MemoryClient:
    await broker.start()
    return broker.connect(1)


def fail(client: MemoryClient) -> None:
    lent(client, "q")
    client.reject(client.channel().last_tag)


def pass_time(broker: DurableBroker, seconds: float) -> None:
    advance(broker.broker.timers, broker.clock, seconds)


@pytest.mark.parametrize("kind", [b"classic", b"quorum"])
async def test_time_and_count_survive_a_restart(kind: bytes) -> None:
    broker, client = await durable(x_queue_type=("S", kind), x_delivery_limit=("I", 2))
    client.publish("q", b"1", b"2", header=PERSISTENT)
    fail(client)
    await broker.commit()
    client = await restarted(broker)
    pass_time(broker, 0.9)
    assert client.counts("q")[0] == 1
    pass_time(broker, 0.1)
    message = lent(client, "q")
    assert (message.body, message.headers["x-delivery-count"]) == (b"1", 1)
    client.reject(client.channel().last_tag)
    await broker.commit()
    client = await restarted(broker)
    pass_time(broker, 2)
    fail(client)
    assert [client.counts(name)[0] for name in ("q", "dead")] == [1, 1]
    await broker.commit()
    client = await restarted(broker)
    assert client.get_all("dead") == [b"1"]
    assert client.get_all("q") == [b"2"]


async def test_what_became_due_meanwhile_is_there_in_its_place() -> None:
    broker, client = await durable()
    client.publish("q", b"1", b"2", b"3", header=PERSISTENT)
    fail(client)
    await broker.commit()
    broker.clock.now += 10
    client = await restarted(broker)
    assert client.get_all("q") == [b"1", b"2", b"3"]


async def test_transient_messages_wait_too() -> None:
    broker, client = await durable()
    client.publish("q", b"1")
    fail(client)
    pass_time(broker, 1)
    assert client.get_all("q") == [b"1"]
    await broker.commit()
    assert await broker.batches() == []


@pytest.mark.parametrize("fault", [Fault.TIMEOUT_LANDED, Fault.TIMEOUT_LOST])
async def test_a_crash_leaves_a_message_before_or_after_its_death(fault: Fault) -> None:
    log = FaultyLog()
    broker, client = await durable(log, x_delivery_limit=("I", 0))
    client.publish("q", b"1", header=PERSISTENT)
    await broker.commit()
    log.append_faults[log.appends] = fault
    fail(client)
    await broker.commit()
    client = await restarted(broker)
    is_dead = fault is Fault.TIMEOUT_LANDED
    assert client.get_all("dead") == ([b"1"] if is_dead else [])
    assert client.get_all("q") == ([] if is_dead else [b"1"])


async def test_compaction_keeps_what_waits() -> None:
    broker, client = await durable(await fake_log(FakeDisk()))
    client.declare("other", durable=True)
    client.publish("q", b"1", header=PERSISTENT)
    client.publish("other", b"first", header=PERSISTENT)
    await broker.commit()
    fail(client)
    for _ in range(100):
        client.publish("other", b"x" * 40, header=PERSISTENT)
        await broker.commit()
        client.get("other")
    before = broker.segment_count
    broker.clock.now -= 2  # compaction takes two seconds, the message is not due
    broker.journal._compacted_at_ms = 0
    await broker.compact()
    assert broker.segment_count < before
    client = await restarted(broker)
    pass_time(broker, 0.9)
    assert client.get("q") is None
    pass_time(broker, 0.1)
    message = client.get("q")
    assert message is not None
    assert message.headers["x-delivery-count"] == 1


STEPS = st.lists(
    st.sampled_from(["publish", "fail", "ack", "wait", "restart", "crash"]), max_size=25
)


@settings(deadline=None)
@given(STEPS)
async def test_every_history_ends_with_the_counts_of_its_twin(steps: list[str]) -> None:
    """The twin: for each message how often it failed and until when it waits."""
    broker, client = await durable(x_delivery_limit=("I", 2), x_delayed_retry_multiplier=("I", 1))
    twin: dict[int, tuple[int, float]] = {}
    kept: dict[int, tuple[int, float]] = {}
    dead = dead_kept = 0
    number = 0
    for step in steps:
        now = broker.clock.now
        ready = [key for key, (_, until) in twin.items() if until <= now]
        if step == "publish":
            number += 1
            client.publish("q", b"%d" % number, header=PERSISTENT)
            twin[number] = (0, 0.0)
        elif step in ("fail", "ack") and ready:
            first = min(ready)
            message = lent(client, "q")
            assert message.body == b"%d" % first
            count = twin[first][0]
            assert message.headers.get("x-delivery-count", 0) == count
            if step == "ack":
                client.ack(client.channel().last_tag)
                del twin[first]
            else:
                client.reject(client.channel().last_tag)
                twin[first] = (count + 1, now + 1)
                if count == 2:
                    del twin[first]
                    dead += 1
        elif step == "wait":
            pass_time(broker, 0.5)
        elif step in ("restart", "crash"):
            if step == "restart":
                await broker.commit()
                kept, dead_kept = dict(twin), dead
            client = await restarted(broker)
            twin, dead = dict(kept), dead_kept
    pass_time(broker, 1)
    assert client.get_all("q") == [b"%d" % key for key in sorted(twin)]
    assert client.counts("dead")[0] == dead
