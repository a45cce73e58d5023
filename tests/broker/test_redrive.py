"""Dead letters go back: which, how fast, and what a crash leaves (FEATURES N7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands

from amqpbroker.broker.redrive import (
    CANCELLED,
    COMPLETED,
    FINISHED_COUNT_MAX,
    RUNNING,
    STEP_COUNT_MAX,
    Filter,
    Plan,
    Redrive,
)
from amqpbroker.storage.faulty import Fault, FaultyLog
from amqpbroker.wire.table import Field
from tests.amqp_bytes import properties
from tests.broker.client import MemoryClient, connect, make_broker
from tests.broker.clock import START_S, advance, clocked
from tests.broker.durable import PERSISTENT, DurableBroker, running

if TYPE_CHECKING:
    from collections.abc import Iterable

    from amqpbroker.broker.queue import Queue

TO_DEAD: dict[str, tuple[str, Any]] = {
    "x-dead-letter-exchange": ("S", b""),
    "x-dead-letter-routing-key": ("S", b"dead"),
}


def die(client: MemoryClient, queue: str, *bodies: bytes, header: bytes = PERSISTENT) -> None:
    """Publish messages to a queue and reject them there."""
    client.publish(queue, *bodies, header=header)
    for _ in bodies:
        assert client.get(queue, no_ack=False)
        client.reject(client.channel().last_tag, requeue=False)


class Bench:
    """A broker in memory with a clock; dead letters of a and b go to dead."""

    def __init__(self) -> None:
        self.broker = make_broker()
        self.clock = clocked(self.broker)
        self.client = connect(self.broker)
        self.client.declare("dead")
        self.client.declare("a", TO_DEAD)
        self.client.declare("b", TO_DEAD)
        self.vhost = self.broker.vhosts["/"]

    @property
    def dead(self) -> Queue:
        return self.vhost.queues["dead"]

    def die(self, queue: str, *bodies: bytes, **more: Any) -> None:
        die(self.client, queue, *bodies, **more)

    def start(self, *, queue: str = "dead", **plan: Any) -> Redrive:
        chosen = {key: plan.pop(key) for key in list(plan) if key in Filter.__dataclass_fields__}
        redrive = self.vhost.redrives.start(
            self.vhost.queues[queue], Plan(filter=Filter(**chosen), **plan)
        )
        self.advance(0)
        return redrive

    def advance(self, seconds: float) -> None:
        advance(self.broker.timers, self.clock, seconds)

    def get_all(self, *queues: str) -> list[list[bytes]]:
        return [self.client.get_all(queue) for queue in queues]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_messages_go_back_to_where_they_died(bench: Bench) -> None:
    bench.die("a", b"1", b"2")
    bench.die("b", b"3")
    redrive = bench.start()
    assert (redrive.state, redrive.moved) == (COMPLETED, {"a": 2, "b": 1})
    assert (redrive.total_count, redrive.examined_count) == (3, 3)
    assert bench.get_all("a", "b", "dead") == [[b"1", b"2"], [b"3"], []]
    assert not len(bench.broker.timers)


def test_a_message_is_what_it_was_and_keeps_its_history(bench: Bench) -> None:
    bench.client.bind("a", "amq.topic", "k.*")
    header = properties(headers={"h": ("I", 7)}, app_id="me", delivery_mode=2)
    bench.client.publish("k.1", b"1", exchange="amq.topic", header=header)
    assert bench.client.get("a", no_ack=False)
    bench.client.reject(1, requeue=False)
    bench.start()
    message = bench.client.get("a")
    assert message is not None
    assert isinstance(message.command, commands.Basic.GetOk)
    assert (message.command.exchange, message.command.routing_key) == ("amq.topic", "k.1")
    assert message.properties.app_id == "me"
    assert message.headers["h"] == 7
    (death,) = message.headers["x-death"]
    assert (death["queue"], death["reason"], death["count"]) == ("a", "rejected", 1)


def test_a_message_that_dies_again_is_counted_on_and_left_alone(bench: Bench) -> None:
    bench.die("a", b"1")
    bench.client.consume("a", tag="c")
    bench.start()
    assert bench.client.deliver().body == b"1"
    bench.client.reject(bench.client.channel().last_tag, requeue=False)
    bench.advance(1)
    assert bench.client.counts("dead")[0] == 1
    message = bench.client.get("dead")
    assert message is not None
    assert message.headers["x-death"][0]["count"] == 2


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({}, [b"old", b"new", b"b", b"expired"]),
        ({"reason": "rejected"}, [b"old", b"new", b"b"]),
        ({"reason": "expired"}, [b"expired"]),
        ({"origin": "a"}, [b"old", b"new", b"expired"]),
        ({"origin": "b", "reason": "expired"}, []),
        ({"headers": {"n": Field("l", 1)}}, [b"old"]),
        ({"headers": {"n": Field("l", 1), "t": Field("S", b"x")}}, [b"old"]),
        ({"headers": {"n": Field("l", 1), "t": Field("S", b"y")}}, []),
        ({"headers": {"t": Field("t", True)}}, []),
        ({"older_than_ms": 60_000}, [b"old"]),
        ({"newer_than_ms": 59_000}, [b"new", b"b", b"expired"]),
        ({"older_than_ms": 60_000, "newer_than_ms": 30_000}, []),
        ({"count_max": 2}, [b"old", b"new"]),
        ({"count_max": 0}, []),
    ],
)
def test_filters(bench: Bench, chosen: dict[str, Any], expected: list[bytes]) -> None:
    times = iter([START_S, START_S + 60, START_S + 60, START_S + 60])
    bench.vhost.dead_letters._now_s = lambda: next(times)
    bench.die("a", b"old", header=properties(headers={"n": ("I", 1), "t": ("S", b"x")}))
    bench.advance(60)
    bench.die("a", b"new")
    bench.die("b", b"b")
    bench.client.publish("a", b"expired", header=properties(expiration="0"))
    redrive = bench.start(**chosen)
    assert redrive.moved_count == len(expected)
    come = {body for bodies in bench.get_all("a", "b") for body in bodies}
    assert come == set(expected)
    assert bench.client.counts("dead")[0] == 4 - len(expected)


def test_a_dry_run_moves_nothing(bench: Bench) -> None:
    bench.die("a", b"1", b"2")
    bench.die("b", b"3")
    bench.client.delete("b")
    redrive = bench.start(is_dry_run=True, rate=0.001)
    assert (redrive.state, redrive.moved, redrive.stranded) == (COMPLETED, {"a": 2}, {"b": 1})
    assert bench.get_all("a", "dead") == [[], [b"1", b"2", b"3"]]


def test_what_never_died_or_has_no_way_back_stays(bench: Bench) -> None:
    bench.client.publish("dead", b"alive")
    bench.client.publish("dead", b"odd", header=properties(headers={"x-death": ("A", [("I", 1)])}))
    bench.die("b", b"1")
    bench.client.delete("b")
    redrive = bench.start()
    assert redrive.stranded == {"": 2, "b": 1}
    assert bench.get_all("dead") == [[b"alive", b"odd", b"1"]]


def test_another_target_may_be_named(bench: Bench) -> None:
    bench.client.declare("other")
    bench.client.publish("dead", b"alive")
    bench.die("a", b"1")
    assert bench.start(target="other").moved == {"other": 2}
    assert bench.get_all("other", "a", "dead") == [[b"alive", b"1"], [], []]


def test_exclusive_queues_are_no_target(bench: Bench) -> None:
    bench.client.declare("mine", exclusive=True)
    bench.die("a", b"1")
    assert bench.start(target="mine").stranded == {"mine": 1}


def test_a_rate_is_kept(bench: Bench) -> None:
    bench.die("a", *[b"%d" % number for number in range(100)])
    redrive = bench.start(rate=10)
    assert redrive.moved_count == 1
    for second in range(1, 5):
        for _ in range(20):
            bench.advance(0.05)
        assert redrive.moved_count == pytest.approx(1 + 10 * second, abs=1)
    assert redrive.state == RUNNING


def test_a_fast_rate_moves_several_at_a_time(bench: Bench) -> None:
    bench.die("a", *[b"%d" % number for number in range(100)])
    redrive = bench.start(rate=1000)
    for _ in range(5):
        bench.advance(0.01)
    assert redrive.moved_count == pytest.approx(51, abs=12)


def test_clients_get_their_turn(bench: Bench) -> None:
    count = STEP_COUNT_MAX + 1
    bench.die("a", *[b"x"] * count)
    redrive = bench.vhost.redrives.start(bench.dead, Plan())
    bench.broker.timers.fire()
    assert redrive.moved_count == STEP_COUNT_MAX
    bench.broker.timers.fire()
    assert redrive.moved_count == count


def test_a_full_target_is_waited_for(bench: Bench) -> None:
    full = {"x-max-length": ("I", 1), "x-overflow": ("S", b"reject-publish-dlx")}
    bench.client.declare("full", full | TO_DEAD)
    bench.die("a", b"1", b"2")
    redrive = bench.start(target="full")
    assert (redrive.moved_count, redrive.is_waiting, redrive.state) == (1, True, RUNNING)
    bench.advance(1)
    assert redrive.moved_count == 1
    assert bench.get_all("full") == [[b"1"]]
    bench.advance(0.1)
    assert (redrive.moved_count, redrive.is_waiting, redrive.state) == (2, False, COMPLETED)
    assert redrive.examined_count == 2


def test_one_that_is_cancelled_moves_no_more(bench: Bench) -> None:
    bench.die("a", b"1", b"2")
    redrive = bench.start(rate=1)
    redrive.cancel()
    redrive.cancel()
    bench.advance(10)
    assert (redrive.state, redrive.moved_count) == (CANCELLED, 1)
    assert not len(bench.broker.timers)
    assert bench.vhost.redrives.of_queue(bench.dead) is None


def test_a_queue_that_goes_ends_it(bench: Bench) -> None:
    bench.die("a", b"1", b"2")
    redrive = bench.start(rate=1)
    bench.client.delete("dead")
    bench.advance(10)
    assert redrive.state == CANCELLED


def test_what_is_consumed_meanwhile_is_not_moved(bench: Bench) -> None:
    bench.die("a", b"1", b"2", b"3")
    redrive = bench.start(rate=1)
    assert bench.get_all("a", "dead") == [[b"1"], [b"2", b"3"]]
    bench.advance(10)
    assert (redrive.state, redrive.moved_count, redrive.examined_count) == (COMPLETED, 1, 3)


def test_messages_that_were_given_back_are_looked_at_too(bench: Bench) -> None:
    bench.die("a", b"1", b"2")
    assert bench.client.get("dead", no_ack=False)
    bench.client.reject(bench.client.channel().last_tag)
    assert bench.start().moved_count == 2
    assert bench.get_all("a") == [[b"1", b"2"]]


def test_a_delivery_count_is_left_behind(bench: Bench) -> None:
    bench.client.declare("quorum", {"x-queue-type": ("S", b"quorum")}, durable=True)
    to_quorum = {**TO_DEAD, "x-dead-letter-routing-key": ("S", b"quorum")}
    bench.client.declare("c", to_quorum)
    bench.die("c", b"1")
    assert bench.client.get("quorum", no_ack=False)
    bench.client.reject(bench.client.channel().last_tag)
    assert bench.start(queue="quorum").moved == {"c": 1}
    message = bench.client.get("c")
    assert message is not None
    assert "x-delivery-count" not in message.headers


def test_old_ones_are_forgotten(bench: Bench) -> None:
    first = bench.start()
    for _ in range(FINISHED_COUNT_MAX):
        last = bench.start()
    assert bench.vhost.redrives.find(first.id) is None
    assert bench.vhost.redrives.find(last.id) is last
    assert len(list(bench.vhost.redrives)) == FINISHED_COUNT_MAX


def test_a_vhost_that_goes_stops_all(bench: Bench) -> None:
    bench.die("a", b"1", b"2")
    redrive = bench.start(rate=1)
    bench.vhost.redrives.discard()
    assert redrive.state == CANCELLED


# kept


async def durable(log: Any = None) -> tuple[DurableBroker, MemoryClient]:
    broker = await running(log)
    broker.clock.now = START_S
    client = broker.connect(1)
    client.declare("dead", durable=True)
    client.declare("a", TO_DEAD, durable=True)
    return broker, client


def redrive(broker: DurableBroker, **plan: Any) -> Redrive:
    vhost = broker.broker.vhosts["/"]
    started = vhost.redrives.start(vhost.queues["dead"], Plan(**plan))
    advance(broker.broker.timers, broker.clock, 0)
    return started


async def contents(broker: DurableBroker, queues: Iterable[str]) -> list[list[bytes]]:
    await broker.start()
    client = broker.connect(1)
    return [client.get_all(queue) for queue in queues]


@pytest.mark.parametrize("fault", [Fault.TIMEOUT_LANDED, Fault.TIMEOUT_LOST])
async def test_a_crash_neither_loses_nor_doubles_a_message(fault: Fault) -> None:
    log = FaultyLog()
    broker, client = await durable(log)
    die(client, "a", b"1", b"2")
    await broker.commit()
    log.append_faults[log.appends] = fault
    assert redrive(broker, count_max=1).moved_count == 1
    await broker.commit()
    found = await contents(broker, ("a", "dead"))
    moved = fault is not Fault.TIMEOUT_LOST
    assert found == ([[b"1"], [b"2"]] if moved else [[], [b"1", b"2"]])


async def test_the_age_is_that_in_the_queue() -> None:
    broker, client = await durable()
    die(client, "a", b"old")
    broker.clock.now += 60
    die(client, "a", b"new")
    assert redrive(broker, filter=Filter(older_than_ms=60_000)).moved == {"a": 1}
    await broker.commit()
    assert await contents(broker, ("a", "dead")) == [[b"old"], [b"new"]]


@given(st.lists(st.sampled_from(["die", "move", "commit", "crash"]), max_size=20))
async def test_every_message_is_in_one_place(steps: list[str]) -> None:
    broker, client = await durable()
    kept = fresh = 0
    for step in steps:
        if step == "die":
            die(client, "a", b"x")
            fresh += 1
        elif step == "move":
            redrive(broker, count_max=1)
        elif step == "commit":
            await broker.commit()
            kept, fresh = kept + fresh, 0
        else:
            await broker.start()
            client = broker.connect(1)
            fresh = 0
    total = client.counts("a")[0] + client.counts("dead")[0]
    assert total == kept + fresh
