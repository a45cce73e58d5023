"""Deliveries that are not settled in time come back, one by one (FEATURES N4, A9.17)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from pamqp import commands

from amqpbroker.broker.ack_deadlines import STALE_COUNT_MIN
from amqpbroker.broker.broker import Broker
from amqpbroker.broker.timers import Clock as BrokerClock
from amqpbroker.config import Config
from tests.amqp_bytes import command_frame
from tests.broker.client import MemoryClient, connect
from tests.broker.clock import Clock

DEADLINE = {"x-ack-deadline": ("I", 10_000)}
TIMEOUT = {"x-consumer-timeout": ("I", 10_000)}


class Bench:
    """A broker with a clock; clients of it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.broker = Broker(Config(is_memory=True), clock=BrokerClock(self.clock, lambda: 0))
        self.broker.add_defaults()
        self.client = self.connect()

    def connect(self) -> MemoryClient:
        return connect(self.broker)

    def advance(self, seconds: float) -> None:
        self.clock.now += seconds
        while (due := self.broker.timers.fire()) is not None and due <= self.clock.now:
            pass


@pytest.fixture
def bench() -> Bench:
    return Bench()


def tags_of(client: MemoryClient) -> list[tuple[int, bytes, bool]]:
    """Return (delivery tag, body, redelivered) of all that has come."""
    found: list[tuple[int, bytes, bool]] = []
    while not client.is_silent:
        message = client.deliver()
        command: Any = message.command
        found.append((command.delivery_tag, message.body, command.redelivered))
    return found


def hold(bench: Bench, arguments: Any = None, consume: Any = None, *, count: int = 1) -> None:
    """Have the client hold deliveries 1 to ``count``, with the bodies b"1", b"2" and so on."""
    client = bench.client
    client.declare("q", arguments)
    client.consume("q", consume, tag="c")
    for number in range(count):
        client.publish("q", b"%d" % (number + 1))
    assert len(tags_of(client)) == count


def test_only_the_late_message_comes_back(bench: Bench) -> None:
    client = bench.client
    hold(bench, DEADLINE, count=2)
    bench.advance(5)
    client.publish("q", b"3")
    assert tags_of(client) == [(3, b"3", False)]
    client.ack(2)
    bench.advance(5)
    assert tags_of(client) == [(4, b"1", True)]
    assert sorted(client.channel().unsettled) == [3, 4]
    assert client.consumer("c").unsettled_count == 2


def test_another_consumer_gets_it(bench: Bench) -> None:
    client, other = bench.client, bench.connect()
    client.qos(1)
    hold(bench, DEADLINE)
    other.qos(1)
    other.consume("q")
    bench.advance(10)
    assert tags_of(other) == [(1, b"1", True)]
    assert client.is_silent


@pytest.mark.parametrize("settle", ["ack", "nack", "reject"])
def test_what_is_settled_too_late_is_ignored(bench: Bench, settle: str) -> None:
    client = bench.client
    hold(bench, DEADLINE)
    bench.advance(10)
    assert tags_of(client) == [(2, b"1", True)]
    getattr(client, settle)(1)
    assert client.is_silent
    assert list(client.channel().unsettled) == [2]
    client.ack(2)
    assert client.queue("q").unsettled_count == 0


def test_late_acks_in_a_row_with_others(bench: Bench) -> None:
    client = bench.client
    client.qos(3)
    hold(bench, DEADLINE, count=3)
    client.ack(2)
    bench.advance(9)
    client.publish("q", b"4")
    assert tags_of(client) == [(4, b"4", False)]
    bench.advance(1)
    assert tags_of(client) == [(5, b"1", True), (6, b"3", True)]
    frames = b"".join(_ack(tag) for tag in (3, 4, 1, 5))
    client.send(frames)
    assert list(client.channel().unsettled) == [6]


def _ack(tag: int) -> bytes:
    return command_frame(commands.Basic.Ack(tag), 1)


def test_a_late_ack_of_several_settles_those_that_are_out(bench: Bench) -> None:
    client = bench.client
    hold(bench, DEADLINE, count=2)
    bench.client.channel().deadlines.extend(1, 60_000)  # type: ignore[union-attr]
    client.cancel("c")
    bench.advance(10)
    assert list(client.channel().unsettled) == [1]
    client.ack(2, multiple=True)
    assert not client.channel().unsettled
    assert [message.body for message in client.queue("q").ready] == [b"2"]


def test_a_tag_that_never_was_is_refused_all_the_same(bench: Bench) -> None:
    client = bench.client
    hold(bench, DEADLINE)
    bench.advance(10)
    client.ack(3)
    client.deliver()
    client.expect_channel_error(406, "PRECONDITION_FAILED - unknown delivery tag 3", (60, 80))


def test_without_a_deadline_a_second_ack_is_refused(bench: Bench) -> None:
    hold(bench)
    bench.client.ack(1)
    bench.client.ack(1)
    text = "PRECONDITION_FAILED - unknown delivery tag 1"
    bench.client.expect_channel_error(406, text, (60, 80))


def test_the_argument_of_a_consumer_counts_more(bench: Bench) -> None:
    hold(bench, DEADLINE, {"x-ack-deadline": ("I", 2_000)})
    bench.advance(2)
    assert tags_of(bench.client) == [(2, b"1", True)]


def test_a_consumer_may_have_a_deadline_alone(bench: Bench) -> None:
    hold(bench, None, DEADLINE)
    other = bench.connect()
    bench.advance(10)
    assert tags_of(bench.client) == [(2, b"1", True)]
    bench.client.cancel("c")
    other.consume("q")
    bench.client.nack(2)
    assert len(tags_of(other)) == 1
    bench.advance(100)
    assert other.is_silent


def test_basic_get_has_the_deadline_of_the_queue(bench: Bench) -> None:
    client = bench.client
    client.declare("q", DEADLINE)
    client.publish("q", b"1")
    assert client.get("q", no_ack=False) is not None
    bench.advance(10)
    message = client.get("q", no_ack=False)
    assert message is not None
    assert message.body == b"1"


def test_auto_ack_has_no_deadline(bench: Bench) -> None:
    client = bench.client
    client.declare("q", DEADLINE)
    client.consume("q", no_ack=True)
    client.publish("q", b"1")
    assert client.channel().deadlines is None


def test_an_ack_that_waits_for_its_commit_is_in_time(bench: Bench) -> None:
    client = bench.client
    hold(bench, DEADLINE)
    client.call(commands.Tx.Select(), commands.Tx.SelectOk)
    client.ack(1)
    bench.advance(20)
    assert client.is_silent
    client.call(commands.Tx.Commit(), commands.Tx.CommitOk)
    assert client.queue("q").unsettled_count == 0


def test_an_ack_that_is_rolled_back_too_late_is_none(bench: Bench) -> None:
    client = bench.client
    hold(bench, DEADLINE)
    client.call(commands.Tx.Select(), commands.Tx.SelectOk)
    client.ack(1)
    bench.advance(20)
    client.call(commands.Tx.Rollback(), commands.Tx.RollbackOk)
    bench.advance(0)
    assert tags_of(client) == [(2, b"1", True)]


def test_a_closed_channel_has_no_timer(bench: Bench) -> None:
    before = len(bench.broker.timers)
    hold(bench, DEADLINE)
    assert len(bench.broker.timers) == before + 1
    bench.client.close()
    assert len(bench.broker.timers) == before


def test_settled_deliveries_are_forgotten(bench: Bench) -> None:
    client = bench.client
    hold(bench, DEADLINE)
    for tag in range(1, 1000):
        client.ack(tag)
        client.publish("q", b"x")
        client.deliver()
    deadlines = client.channel().deadlines
    assert deadlines is not None
    assert len(deadlines._deadlines) <= STALE_COUNT_MIN + 3
    assert len(deadlines._rows) <= STALE_COUNT_MIN + 3
    assert len(bench.broker.timers) == 1


def test_in_a_quorum_queue_every_return_counts(bench: Bench) -> None:
    client = bench.client
    quorum = {"x-queue-type": ("S", b"quorum"), "x-delivery-limit": ("I", 2)}
    client.declare("q", {**DEADLINE, **quorum}, durable=True)
    client.consume("q")
    client.publish("q", b"1")
    for tag in (1, 2, 3):
        assert tags_of(client) == [(tag, b"1", tag > 1)]
        bench.advance(10)
    assert client.is_silent
    assert client.queue("q").unsettled_count == 0


# extension


def test_an_extended_delivery_stays_out(bench: Bench) -> None:
    hold(bench, DEADLINE, count=2)
    deadlines = bench.client.channel().deadlines
    assert deadlines is not None
    bench.advance(8)
    assert deadlines.extend(1, 30_000)
    assert deadlines.remaining_ms(1) == 30_000
    bench.advance(2)
    assert tags_of(bench.client) == [(3, b"2", True)]
    assert deadlines.remaining_ms(2) is None
    bench.advance(27.5)
    assert list(bench.client.channel().unsettled) == [1, 4]
    bench.advance(0.5)
    assert 1 not in bench.client.channel().unsettled


def test_an_extension_may_shorten(bench: Bench) -> None:
    hold(bench, DEADLINE)
    deadlines = bench.client.channel().deadlines
    assert deadlines is not None
    assert deadlines.extend(1, 0)
    bench.advance(0)
    assert tags_of(bench.client) == [(2, b"1", True)]
    assert not deadlines.extend(1, 0)


def test_all_are_extended_by_their_own_deadline(bench: Bench) -> None:
    hold(bench, DEADLINE, count=2)
    deadlines = bench.client.channel().deadlines
    assert deadlines is not None
    bench.advance(9)
    assert deadlines.extend(0, None)
    bench.advance(9)
    assert bench.client.is_silent
    bench.advance(1)
    assert len(tags_of(bench.client)) == 2


# consumer timeout


def test_the_timeout_of_a_queue_closes_the_channel(bench: Bench) -> None:
    hold(bench, TIMEOUT)
    deadlines = bench.client.channel().deadlines
    assert deadlines is not None
    assert not deadlines.extend(1, 60_000)
    bench.advance(10)
    text = (
        "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. "
        "Timeout value used: 10000 ms. This timeout value can be configured, "
        "see consumers doc guide to learn more"
    )
    bench.client.expect_channel_error(406, text, (0, 0))
    assert len(bench.broker.vhosts["/"].queues["q"].ready) == 1


def test_a_longer_timeout_is_longer_than_the_brokers(bench: Bench) -> None:
    hold(bench, {"x-consumer-timeout": ("I", 7_200_000)})
    bench.broker.sessions.add(bench.client.session)
    for _ in range(3):
        bench.broker.consumer_timeouts.look(bench.clock.now)
        bench.advance(1800)
    assert bench.client.session.channels


def test_an_ack_deadline_counts_more_than_a_timeout(bench: Bench) -> None:
    hold(bench, {**TIMEOUT, "x-ack-deadline": ("I", 20_000)})
    bench.advance(10)
    assert bench.client.is_silent
    bench.advance(10)
    assert tags_of(bench.client) == [(2, b"1", True)]


# against a model


class Twin(RuleBasedStateMachine):
    """A client that settles and extends as it likes, and the obvious bookkeeping."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.client = self.bench.client
        self.client.declare("q", {"x-ack-deadline": ("I", 5_000)})
        self.client.consume("q", tag="c")
        self.held: dict[int, tuple[bytes, float]] = {}
        self.gone: list[int] = []
        self.count = 0
        self.last_tag = 0

    def read(self) -> list[bytes]:
        bodies = []
        for tag, body, _ in tags_of(self.client):
            assert tag == self.last_tag + 1
            self.last_tag = tag
            self.held[tag] = body, self.bench.clock.now + 5
            bodies.append(body)
        return bodies

    @rule(count=st.integers(1, 5))
    def publish(self, count: int) -> None:
        bodies = [b"%d" % (self.count + index) for index in range(count)]
        self.count += count
        self.client.publish("q", *bodies)
        assert self.read() == bodies

    @precondition(lambda self: self.held)
    @rule(data=st.data(), multiple=st.booleans())
    def ack(self, data: st.DataObject, multiple: bool) -> None:
        tag = data.draw(st.sampled_from(sorted(self.held)))
        self.client.ack(tag, multiple=multiple)
        for item in [item for item in self.held if item == tag or (multiple and item < tag)]:
            del self.held[item]

    @precondition(lambda self: self.gone)
    @rule(data=st.data())
    def ack_late(self, data: st.DataObject) -> None:
        self.client.ack(data.draw(st.sampled_from(self.gone)))

    @precondition(lambda self: self.held)
    @rule(data=st.data(), seconds=st.integers(0, 12))
    def extend(self, data: st.DataObject, seconds: int) -> None:
        tag = data.draw(st.sampled_from(sorted(self.held)))
        deadlines = self.client.channel().deadlines
        assert deadlines is not None
        assert deadlines.extend(tag, seconds * 1000)
        self.held[tag] = self.held[tag][0], self.bench.clock.now + seconds

    @rule(seconds=st.integers(0, 4))
    def advance(self, seconds: int) -> None:
        for _ in range(seconds + 1):
            late = [tag for tag, item in self.held.items() if item[1] <= self.bench.clock.now]
            bodies = [self.held.pop(tag)[0] for tag in late]
            self.gone += late
            self.bench.advance(0)
            assert sorted(self.read()) == sorted(bodies)
            self.bench.clock.now += 1
        self.bench.clock.now -= 1

    @invariant()
    def the_broker_knows_the_same(self) -> None:
        assert self.client.channel().unsettled.keys() == self.held.keys()
        assert self.client.queue("q").unsettled_count == len(self.held)


TestTwin = Twin.TestCase
TestTwin.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
