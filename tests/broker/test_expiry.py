"""Messages expire on time, wherever they are in the queue, and only those that are due."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from amqpbroker.broker.expiry import EXPIRED_COUNT_MAX, ExpiringMessage, Expiry, time_to_live_ms
from amqpbroker.broker.indexed_ready import IndexedReady
from amqpbroker.broker.message import Message
from amqpbroker.broker.runs import Run
from amqpbroker.broker.timers import Timers
from amqpbroker.wire.content import Publication
from tests.broker.clock import Clock

TTL = st.none() | st.integers(0, 5)


def publication(expiration_s: int | None = None) -> Publication:
    properties: dict[str, Any] = {}
    if expiration_s is not None:
        properties["expiration"] = str(expiration_s * 1000)
    return Publication.of("", "q", properties, 1)


class Bench:
    """The expiry of a queue, with a clock; ``expired`` is what has fallen out."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.timers = Timers(now=self.clock)
        self.ready = IndexedReady()
        self.expired: list[Message] = []
        self.expiry = Expiry(self.ready, self.timers, self.expired.extend)

    def publish(self, expiration_s: int | None = None, count: int = 1) -> list[Message]:
        published = publication(expiration_s)
        messages = [Message(published, b"x") for _ in range(count)]
        messages = self.expiry.marked(published, messages)
        first = self.ready.next_position
        self.ready.extend(messages)
        self.expiry.watch(first, messages)
        return messages

    def advance(self, seconds: float) -> None:
        self.clock.now += seconds
        while (due := self.timers.fire()) is not None and due <= self.clock.now:
            pass


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize(
    ("expiration", "ttl_ms", "expected"),
    [(None, None, None), (None, 5, 5), ("7", None, 7), ("7", 5, 5), ("3", 5, 3), ("+0", 5, 0)],
)
def test_the_smaller_time_counts(
    expiration: str | None, ttl_ms: int | None, expected: int | None
) -> None:
    properties = {} if expiration is None else {"expiration": expiration}
    assert time_to_live_ms(Publication.of("", "q", properties, 0), ttl_ms) == expected


def test_a_message_without_a_time_is_left_as_it_is(bench: Bench) -> None:
    (message,) = bench.publish()
    assert type(message) is Message
    bench.advance(1e9)
    assert not bench.expired


def test_a_message_expires_behind_one_that_does_not(bench: Bench) -> None:
    bench.publish()
    (second,) = bench.publish(2)
    (third,) = bench.publish(1)
    bench.advance(1)
    assert bench.expired == [third]
    bench.advance(1)
    assert bench.expired == [third, second]
    assert len(bench.ready) == 1


def test_a_copy_shares_the_place_in_the_log(bench: Bench) -> None:
    run = Run(7, (1,), 0)
    original = Message(publication(1), b"x", run, 9)
    (copy,) = bench.expiry.marked(original.publication, [original])
    assert copy is not original
    assert (copy.run, copy.sequence, copy.body) == (run, 9, b"x")


def test_a_deadline_counts_from_before_the_restart(bench: Bench) -> None:
    bench.timers.wall_ms = lambda: 12_000
    bench.clock.now = 100
    bench.expiry.ttl_ms = 4000
    messages = [
        Message(publication(seconds), b"x", Run(1, (1,), timestamp_ms=10_000), 1)
        for seconds in (1, 3, None)
    ]
    recovered = bench.expiry.recovered(messages)
    deadlines = [m.deadline for m in recovered if isinstance(m, ExpiringMessage)]
    assert deadlines == [99, 101, 102]
    bench.ready.recover(recovered)
    bench.expiry.watch_all()
    bench.advance(0)
    assert bench.expired == recovered[:1]
    bench.advance(1)
    assert bench.expired == recovered[:2]


def test_a_clock_that_was_set_back_makes_no_message_live_longer(bench: Bench) -> None:
    bench.timers.wall_ms = lambda: 5_000
    message = Message(publication(1), b"x", Run(1, (1,), timestamp_ms=10_000), 1)
    (recovered,) = bench.expiry.recovered([message])
    assert isinstance(recovered, ExpiringMessage)
    assert recovered.deadline == 1


def test_many_that_expire_at_once_go_in_turns(bench: Bench) -> None:
    rest = 10
    for _ in range(EXPIRED_COUNT_MAX + rest):
        bench.publish(1)
    bench.clock.now = 1
    assert bench.timers.fire() == 1
    assert len(bench.ready) == rest
    bench.timers.fire()
    assert len(bench.ready) == 0


def test_whoever_asks_gets_rid_of_all_that_is_due(bench: Bench) -> None:
    for _ in range(EXPIRED_COUNT_MAX + 1):
        bench.publish(1)
    bench.clock.now = 1
    bench.expiry.drop_due()
    assert not bench.ready


def test_a_queue_without_messages_has_no_timer(bench: Bench) -> None:
    bench.publish(5)
    assert len(bench.timers) == 1
    bench.ready.pop()
    bench.advance(5)
    assert len(bench.timers) == 0


def test_a_queue_has_one_timer(bench: Bench) -> None:
    for seconds in (5, 4, 9, 3):
        bench.publish(seconds)
    assert len(bench.timers) == 1
    bench.advance(4)
    assert len(bench.expired) == 2
    assert len(bench.timers) == 1


def test_messages_that_were_consumed_leave_nothing_behind(bench: Bench) -> None:
    for _ in range(1000):
        bench.publish(3600)
        bench.ready.pop()
    assert len(bench.expiry._rows) < 100


def test_a_queue_that_is_gone_waits_for_nothing(bench: Bench) -> None:
    bench.publish(1)
    bench.expiry.stop()
    assert len(bench.timers) == 0
    bench.expiry.stop()


class ExpiryMachine(RuleBasedStateMachine):
    """The model: (position, deadline or None, message), sorted; the clock moves in seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.model: list[tuple[int, float | None, Message]] = []
        self.lent: list[tuple[int, float | None, Message]] = []
        self.gone: list[Message] = []

    @rule(ttl_s=TTL)
    def set_ttl(self, ttl_s: int | None) -> None:
        self.bench.expiry.ttl_ms = None if ttl_s is None else ttl_s * 1000

    @rule(expiration_s=TTL, count=st.integers(1, 3))
    def publish(self, expiration_s: int | None, count: int) -> None:
        bench = self.bench
        first = bench.ready.next_position
        ttl_ms = time_to_live_ms(publication(expiration_s), bench.expiry.ttl_ms)
        deadline = None if ttl_ms is None else bench.clock.now + ttl_ms / 1000
        messages = bench.publish(expiration_s, count)
        self.model += [(first + i, deadline, message) for i, message in enumerate(messages)]
        self.expire()

    @precondition(lambda self: self.model)
    @rule()
    def pop(self) -> None:
        item = self.model.pop(0)
        assert self.bench.ready.pop()[:2] == (item[0], item[2])
        self.lent.append(item)

    @precondition(lambda self: self.lent)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        item = data.draw(st.sampled_from(self.lent))
        self.lent.remove(item)
        self.bench.ready.give_back(item[0], item[2])
        self.bench.expiry.watch(item[0], (item[2],))
        self.model = sorted([*self.model, item], key=lambda entry: entry[0])
        self.expire()

    @rule(seconds=st.integers(0, 3))
    def advance(self, seconds: int) -> None:
        self.bench.advance(seconds)
        self.expire()

    def expire(self) -> None:
        """Bring the model, and the real thing by its own means, to now."""
        self.bench.expiry.drop_due()
        now = self.bench.clock.now
        due = [item for item in self.model if item[1] is not None and item[1] <= now]
        self.model = [item for item in self.model if item not in due]
        self.gone += [item[2] for item in due]

    @invariant()
    def what_is_due_is_gone_and_nothing_else(self) -> None:
        assert [item[2] for item in self.model] == list(self.bench.ready)
        assert set(self.bench.expired) == set(self.gone)
        assert len(self.bench.expired) == len(self.gone)
        deadlines = [item[1] for item in self.model if item[1] is not None]
        rows = self.bench.expiry._rows
        assert not deadlines or rows[0][0] <= min(deadlines)


ExpiryMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestExpiry = ExpiryMachine.TestCase
