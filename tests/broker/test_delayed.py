"""Delayed messages come when due, once, in order, and after a restart (A12.10, N2, S21)."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands

from amqpbroker.broker.arguments import EXPIRY_MS_MAX
from amqpbroker.broker.delayed import RELEASED_COUNT_MAX, STALE_COUNT_MIN, Delayed, due_ms
from tests.amqp_bytes import properties
from tests.broker.client import MemoryClient, connect, make_broker
from tests.broker.clock import START_S, advance, clocked
from tests.broker.durable import DurableBroker, running

DELAYS = st.lists(st.integers(0, 6), min_size=1, max_size=20)


def later(value: Any, kind: str = "I", name: str = "x-delay", **more: Any) -> bytes:
    return properties(headers={name: (kind, value)}, **more)


class Bench:
    """A broker in memory with a clock, a client, and queue q."""

    def __init__(self) -> None:
        self.broker = make_broker()
        self.clock = clocked(self.broker)
        self.client = connect(self.broker)
        self.client.declare("q")

    @property
    def delayed(self) -> Delayed:
        return self.broker.vhosts["/"].delayed

    def advance(self, seconds: float) -> None:
        advance(self.broker.timers, self.clock, seconds)

    def come(self) -> list[bytes]:
        return self.client.get_all("q")


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"x-delay": ("I", 5)}, 1005),
        ({"x-delay": ("l", EXPIRY_MS_MAX)}, 1000 + EXPIRY_MS_MAX),
        ({"x-delay": ("l", EXPIRY_MS_MAX + 1)}, None),
        ({"x-delay": ("I", 0)}, None),
        ({"x-delay": ("I", -5)}, None),
        ({"x-delay": ("S", b"7")}, 1007),
        ({"x-delay": ("S", b"soon")}, None),
        ({"x-delay": ("d", 7.9)}, 1007),
        ({"x-delay": ("d", float("inf"))}, None),
        ({"x-delay": ("d", float("nan"))}, None),
        ({"x-delay": ("t", True)}, None),
        ({"x-delay": ("V", None)}, None),
        ({"x-deliver-at": ("T", 2)}, 2000),
        ({"x-deliver-at": ("T", 1)}, None),
        ({"x-deliver-at": ("l", 1001)}, 1001),
        ({"x-deliver-at": ("S", b"1001")}, 1001),
        ({"x-deliver-at": ("l", 1500), "x-delay": ("I", 5)}, 1500),
        ({"x-deliver-at": ("V", None), "x-delay": ("I", 5)}, 1005),
    ],
)
def test_when_a_message_is_due(headers: dict[str, tuple[str, Any]], expected: int | None) -> None:
    assert due_ms(headers, 1000) == expected


def test_a_message_waits_and_comes_on_time(bench: Bench) -> None:
    bench.client.publish("q", b"1", b"2", header=later(5000))
    bench.advance(4.999)
    assert bench.come() == []
    bench.advance(0.001)
    message = bench.client.get("q")
    assert message is not None
    assert message.headers["x-delay"] == -5000
    assert bench.come() == [b"2"]
    assert not len(bench.delayed)
    assert not len(bench.broker.timers)


def test_an_absolute_time_is_the_wall_clocks(bench: Bench) -> None:
    bench.client.publish("q", b"1", header=later(2_000_000, "l", "x-deliver-at"))
    for _ in range(15):
        bench.advance(60)
    assert bench.come() == []
    bench.advance(100)
    assert bench.come() == [b"1"]


def test_a_wall_clock_that_is_set_is_noticed(bench: Bench) -> None:
    bench.client.publish("q", b"1", header=later(3_000_000, "l", "x-deliver-at"))
    wall_ms = bench.broker.timers.wall_ms
    bench.broker.timers.wall_ms = lambda: wall_ms() + 2_000_000
    bench.advance(60)
    assert bench.come() == [b"1"]


@given(DELAYS)
def test_messages_come_in_the_order_of_their_times(delays: list[int]) -> None:
    bench = Bench()
    for number, delay in enumerate(delays):
        bench.client.publish("q", b"%d" % number, header=later(delay * 1000))
    come = bench.come()
    for _ in range(6):
        bench.advance(1)
        come += bench.come()
    order = sorted(range(len(delays)), key=lambda number: (delays[number], number))
    assert come == [b"%d" % number for number in order]


def test_it_is_routed_when_it_is_due(bench: Bench) -> None:
    bench.client.publish("new", b"1", header=later(1000))
    bench.client.declare("new")
    bench.advance(1)
    assert bench.client.get_all("new") == [b"1"]


def test_extra_keys_count_and_bcc_is_not_shown(bench: Bench) -> None:
    bench.client.declare("blind")
    keys = ("A", [("S", b"blind")])
    header = properties(headers={"x-delay": ("I", 1000), "BCC": keys})
    bench.client.publish("q", b"1", header=header)
    bench.advance(1)
    assert bench.come() == [b"1"]
    message = bench.client.get("blind")
    assert message is not None
    assert message.headers == {"x-delay": -1000}


def test_exchanges_that_draw_lots_are_asked_when_it_is_due(bench: Bench) -> None:
    declare = commands.Exchange.Declare(exchange="lots", exchange_type="x-random")
    bench.client.call(declare, commands.Exchange.DeclareOk)
    bench.client.bind("q", "lots", "")
    bench.client.publish("", b"1", b"2", exchange="lots", header=later(1000))
    bench.advance(1)
    assert bench.come() == [b"1", b"2"]


def test_an_exchange_that_is_gone_drops_it(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    declare = commands.Exchange.Declare(exchange="gone", exchange_type="fanout")
    bench.client.call(declare, commands.Exchange.DeclareOk)
    bench.client.publish("", b"1", exchange="gone", header=later(1000))
    bench.client.call(commands.Exchange.Delete(exchange="gone"), commands.Exchange.DeleteOk)
    with caplog.at_level(logging.WARNING):
        bench.advance(1)
    assert "1 delayed messages dropped: no exchange 'gone' in vhost '/'" in caplog.text


def test_many_are_released_in_turns(bench: Bench) -> None:
    bodies = [b"%d" % number for number in range(RELEASED_COUNT_MAX + 1)]
    bench.client.publish("q", *bodies, header=later(1000))
    bench.clock.now += 1
    bench.broker.timers.fire()
    assert bench.client.counts("q")[0] == RELEASED_COUNT_MAX
    bench.broker.timers.fire()
    assert bench.come() == bodies


def test_a_failure_stops_no_later_messages(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bench.client.publish("q", b"1", header=later(1000))
    bench.client.publish("q", b"2", header=later(2000))
    with monkeypatch.context() as broken:
        broken.setattr("amqpbroker.broker.delayed.woken", lambda publication: 1 / 0)
        bench.advance(1)
    assert "internal error in a timer" in caplog.text
    bench.advance(1)
    assert bench.come() == [b"2"]


def test_what_waits_is_listed(bench: Bench) -> None:
    for delay_s in (3, 1, 2):
        bench.client.publish("q", b"%d" % delay_s, header=later(delay_s * 1000, app_id="me"))
    listed = bench.delayed.pending(2)
    shown = [(item.due_ms, bench.delayed.body(item.id)) for item in listed]
    assert shown == [(1001000, b"1"), (1002000, b"2")]
    assert listed[0].publication.routing_key == "q"
    assert listed[0].publication.properties["app_id"] == "me"
    assert len(bench.delayed) == len(list(bench.delayed.ready)) == 3


def test_what_is_cancelled_never_comes(bench: Bench) -> None:
    bench.client.publish("q", b"1", b"2", header=later(1000))
    first = bench.delayed.pending()[0].id
    assert bench.delayed.cancel(first)
    assert not bench.delayed.cancel(first)
    assert bench.delayed.reschedule(first, 0) is None
    bench.advance(1)
    assert bench.come() == [b"2"]


def test_cancelled_ones_are_thrown_out(bench: Bench) -> None:
    count = 3 * STALE_COUNT_MIN
    bench.client.publish("q", *[b"x"] * count, header=later(1000))
    for item in bench.delayed.pending(count)[1:]:
        bench.delayed.cancel(item.id)
    assert len(bench.delayed._heap) <= STALE_COUNT_MIN + 3
    bench.advance(1)
    assert bench.come() == [b"x"]


@pytest.mark.parametrize("at_s", [START_S + 1, START_S + 9, START_S - 1])
def test_a_message_is_rescheduled(bench: Bench, at_s: int) -> None:
    bench.client.publish("q", b"1", header=later(5000))
    bench.client.publish("q", b"other", header=later(5000))
    changed = bench.delayed.reschedule(bench.delayed.pending()[0].id, at_s * 1000)
    assert changed in {item.id for item in bench.delayed.pending()}
    come = {}
    for second in range(10):
        bench.advance(1 if second else 0)
        for body in bench.come():
            come[body] = second
    assert come == {b"1": max(0, at_s - START_S), b"other": 5}


def test_a_vhost_that_goes_takes_them_along(bench: Bench) -> None:
    bench.client.publish("q", b"1", header=later(1000))
    bench.delayed.discard()
    assert not len(bench.broker.timers)
    bench.advance(1)
    assert bench.come() == []
    bench.delayed.discard()


# kept


async def durable() -> tuple[DurableBroker, MemoryClient]:
    """Start a broker whose clock is set, with the durable queue q."""
    broker = await running()
    broker.clock.now = START_S
    client = broker.connect(1)
    declare = commands.Queue.Declare(queue="q", durable=True)
    await broker.call(client, declare)
    client.read(commands.Queue.DeclareOk)
    return broker, client


async def restarted(broker: DurableBroker) -> MemoryClient:
    await broker.start()
    return broker.connect(1)


def pass_time(broker: DurableBroker, seconds: float) -> None:
    advance(broker.broker.timers, broker.clock, seconds)


@pytest.mark.parametrize("delivery_mode", [1, 2])
async def test_it_is_confirmed_when_it_is_kept(delivery_mode: int) -> None:
    broker, client = await durable()
    client.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
    client.publish("q", b"1", header=later(5000, delivery_mode=delivery_mode))
    assert client.is_silent
    await broker.commit()
    assert client.read(commands.Basic.Ack).delivery_tag == 1
    client = await restarted(broker)
    pass_time(broker, 4.9)
    assert client.get_all("q") == []
    pass_time(broker, 0.1)
    assert client.get_all("q") == [b"1"]


async def test_what_became_due_meanwhile_comes_in_order_at_once() -> None:
    broker, client = await durable()
    for delay_s in (3, 1, 2, 60):
        client.publish("q", b"%d" % delay_s, header=later(delay_s * 1000, delivery_mode=2))
    ids = [item.id for item in broker.broker.vhosts["/"].delayed.pending()]
    await broker.commit()
    broker.clock.now += 10
    client = await restarted(broker)
    assert [item.id for item in broker.broker.vhosts["/"].delayed.pending()] == ids
    pass_time(broker, 0)
    assert client.get_all("q") == [b"1", b"2", b"3"]


@pytest.mark.parametrize("is_committed", [False, True])
async def test_a_crash_when_it_is_due_neither_loses_nor_doubles_it(is_committed: bool) -> None:
    broker, client = await durable()
    client.publish("q", b"1", header=later(1000, delivery_mode=2))
    await broker.commit()
    pass_time(broker, 1)
    if is_committed:
        await broker.commit()
    client = await restarted(broker)
    assert len(broker.broker.vhosts["/"].delayed) == (not is_committed)
    pass_time(broker, 0)
    assert client.get_all("q") == [b"1"]
    await broker.commit()
    client = await restarted(broker)
    pass_time(broker, 10)
    assert client.get_all("q") == []


async def test_changes_from_outside_are_kept() -> None:
    broker, client = await durable()
    client.publish("q", b"1", b"2", header=later(5000, delivery_mode=2))
    await broker.commit()
    first, second = broker.broker.vhosts["/"].delayed.pending()
    assert broker.broker.vhosts["/"].delayed.cancel(first.id)
    assert broker.broker.vhosts["/"].delayed.reschedule(second.id, (START_S + 9) * 1000)
    await broker.commit()
    client = await restarted(broker)
    pass_time(broker, 8.9)
    assert client.get_all("q") == []
    pass_time(broker, 0.1)
    assert client.get_all("q") == [b"2"]


async def test_transactions_delay_from_their_commit() -> None:
    broker, client = await durable()
    client.call(commands.Tx.Select(), commands.Tx.SelectOk)
    client.publish("q", b"1", header=later(1000, delivery_mode=2))
    pass_time(broker, 5)
    assert not len(broker.broker.vhosts["/"].delayed)
    await broker.call(client, commands.Tx.Commit())
    client.read(commands.Tx.CommitOk)
    pass_time(broker, 0.9)
    assert client.get_all("q") == []
    pass_time(broker, 0.1)
    assert client.get_all("q") == [b"1"]


async def test_a_deleted_vhosts_messages_do_not_come_back() -> None:
    broker, client = await durable()
    client.publish("q", b"1", header=later(1000, delivery_mode=2))
    await broker.commit()
    broker.broker.vhosts["/"].delayed.discard()
    await broker.commit()
    await restarted(broker)
    assert not len(broker.broker.vhosts["/"].delayed)
