"""Whose turn it is: against a model, and rule by rule."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from amqpbroker.broker.consumer import UNLIMITED, Consumer, Consumers

if TYPE_CHECKING:
    from tests.broker.client import MemoryClient


class Holder:
    """Stands for a channel."""

    def __init__(self) -> None:
        self.blocked: dict[object, None] = {}


@dataclass(eq=False)
class Taker:
    """Stands for a consumer: its room is what the test says."""

    priority: int = 0
    free: int = 1
    channel: Holder = field(default_factory=Holder)
    is_blocked: bool = field(default=False, init=False)

    def room(self) -> int:
        return self.free


def add(consumers: Consumers, **values: Any) -> Any:
    taker = Taker(**values)
    consumers.add(cast("Consumer", taker))
    return taker


def turns(consumers: Consumers, count: int) -> list[object]:
    found = [consumers.next() for _ in range(count)]
    return [turn and turn[0] for turn in found]


def test_consumers_of_a_priority_take_turns() -> None:
    consumers = Consumers(is_single_active=False)
    a, b, c = (add(consumers) for _ in range(3))
    assert turns(consumers, 6) == [a, b, c, a, b, c]


def test_a_deferred_consumer_is_last_of_its_priority() -> None:
    consumers = Consumers(is_single_active=False)
    a, b = add(consumers), add(consumers)
    low = add(consumers, priority=-1)
    consumers.defer(a)
    consumers.defer(low)
    assert turns(consumers, 2) == [b, a]
    a.free = b.free = 0
    assert turns(consumers, 1) == [low]
    consumers.defer(a)
    assert turns(consumers, 1) == [low], "it is blocked still"


def test_a_consumer_may_be_blocked_by_others() -> None:
    consumers = Consumers(is_single_active=False)
    a, b = add(consumers), add(consumers)
    consumers.block(a)
    assert turns(consumers, 2) == [b, b]
    consumers.block(b)
    assert turns(consumers, 1) == [None]
    assert consumers.unblock(a)
    assert turns(consumers, 1) == [a]


def test_a_lone_consumer_may_take_all_it_has_room_for() -> None:
    consumers = Consumers(is_single_active=False)
    a = add(consumers, free=7)
    add(consumers, free=9, priority=-1)
    assert consumers.next() == (a, 7)
    add(consumers, free=7)
    assert consumers.next() == (a, 1)


def test_a_lower_priority_gets_what_higher_ones_cannot_take() -> None:
    consumers = Consumers(is_single_active=False)
    low, high = add(consumers, priority=-1), add(consumers, priority=5)
    assert turns(consumers, 2) == [high, high]
    high.free = 0
    assert turns(consumers, 2) == [low, low]
    high.free = 1
    assert turns(consumers, 1) == [low], "nobody has unblocked it"
    assert consumers.unblock(high)
    assert turns(consumers, 2) == [high, high]


def test_a_blocked_consumer_is_not_asked_again() -> None:
    consumers = Consumers(is_single_active=False)
    taker = add(consumers, free=0)
    assert consumers.next() is None
    assert taker.is_blocked
    assert not consumers.unblock(taker), "it has no room"
    taker.free = 1
    assert consumers.next() is None
    assert consumers.unblock(taker)
    assert not consumers.unblock(taker), "it is not blocked"
    assert turns(consumers, 1) == [taker]


def test_a_consumer_that_has_left_is_not_unblocked() -> None:
    consumers = Consumers(is_single_active=False)
    taker = add(consumers, free=0)
    assert consumers.next() is None
    consumers.remove(taker)
    taker.free = 1
    assert not taker.channel.blocked
    assert not consumers.unblock(taker)
    assert consumers.next() is None


def test_a_channel_knows_its_blocked_consumers_in_their_order() -> None:
    consumers = Consumers(is_single_active=False)
    channel = Holder()
    a, b, c = (add(consumers, free=0, channel=channel) for _ in range(3))
    add(consumers, free=0)
    consumers.block(b)
    assert consumers.next() is None
    assert list(channel.blocked) == [b, a, c]
    consumers.resume(a)
    assert consumers.next() is None
    assert list(channel.blocked) == [b, c, a]


@pytest.mark.parametrize("free", [1, 0])
def test_the_single_active_consumer_hands_over_when_it_leaves(free: int) -> None:
    consumers = Consumers(is_single_active=True)
    first, second, third = [add(consumers, free=n) for n in (free, 1, 1)]
    assert turns(consumers, 2) == ([first, first] if free else [None, None])
    assert consumers.is_active(first)
    consumers.remove(second)
    consumers.remove(first)
    assert turns(consumers, 2) == [third, third]
    assert consumers.is_active(third)
    consumers.remove(third)
    assert consumers.active is None


def test_a_blocked_single_active_consumer_does_not_hand_over() -> None:
    consumers = Consumers(is_single_active=True)
    first, second = add(consumers, free=0), add(consumers)
    assert turns(consumers, 2) == [None, None]
    assert not consumers.is_active(second)
    first.free = 1
    assert consumers.unblock(first)
    assert turns(consumers, 2) == [first, first]


def test_room_is_what_the_limits_leave(client: MemoryClient) -> None:
    queue = client.declare()
    client.qos(3)
    tags = [client.consume(queue) for _ in range(2)]
    assert client.consumer(tags[0]).room() == 3
    client.qos(5, is_global=True)
    client.publish(queue, *[b"x"] * 3)
    assert len(client.messages()) == 3
    assert [client.consumer(tag).room() for tag in tags] == [1, 2]
    client.qos(4, is_global=True)
    assert [client.consumer(tag).room() for tag in tags] == [1, 1]


def test_without_limits_there_is_always_room(client: MemoryClient) -> None:
    client.qos(1)
    queue = client.declare()
    assert client.consumer(client.consume(queue, no_ack=True)).room() == UNLIMITED


class TurnsMachine(RuleBasedStateMachine):
    """The model: who may be asked, in the order of their turns, and who was found to be blocked."""

    def __init__(self) -> None:
        super().__init__()
        self.consumers = Consumers(is_single_active=False)
        self.all: list[Taker] = []
        self.asked: list[Taker] = []
        self.blocked: list[Taker] = []
        self.channels = [Holder(), Holder()]

    @rule(priority=st.integers(-1, 1), free=st.integers(0, 2), at=st.integers(0, 1))
    def add(self, priority: int, free: int, at: int) -> None:
        taker = add(self.consumers, priority=priority, free=free, channel=self.channels[at])
        self.all.append(taker)
        self.asked.append(taker)

    @precondition(lambda self: self.all)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        taker = data.draw(st.sampled_from(self.all))
        self.consumers.remove(cast("Consumer", taker))
        self.all.remove(taker)
        (self.asked if taker in self.asked else self.blocked).remove(taker)

    @precondition(lambda self: self.all)
    @rule(data=st.data(), free=st.integers(0, 2))
    def change_room(self, data: st.DataObject, free: int) -> None:
        taker = data.draw(st.sampled_from(self.all))
        taker.free = free
        goes_on = taker not in self.asked and free > 0
        assert self.consumers.unblock(cast("Consumer", taker)) == goes_on
        if goes_on:
            self._resume(taker)

    @precondition(lambda self: self.blocked)
    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        taker = data.draw(st.sampled_from(self.blocked))
        self.consumers.resume(cast("Consumer", taker))
        self._resume(taker)

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def block(self, data: st.DataObject) -> None:
        taker = data.draw(st.sampled_from(self.asked))
        self.consumers.block(cast("Consumer", taker))
        self.asked.remove(taker)
        self.blocked.append(taker)

    def _resume(self, taker: Taker) -> None:
        self.blocked.remove(taker)
        self.asked.append(taker)

    @rule()
    def next(self) -> None:
        expected: Taker | None = None
        while self.asked and expected is None:
            highest = max(taker.priority for taker in self.asked)
            turn = next(taker for taker in self.asked if taker.priority == highest)
            self.asked.remove(turn)
            if turn.free:
                expected = turn
                self.asked.append(turn)
            else:
                self.blocked.append(turn)
        got = self.consumers.next()
        assert cast("object", got and got[0]) is expected
        if got is not None and expected is not None:
            peers = [taker for taker in self.asked if taker.priority == expected.priority]
            assert got[1] == (expected.free if len(peers) == 1 else 1)

    @invariant()
    def knows_who_is_blocked(self) -> None:
        assert cast("list[object]", list(self.consumers)) == self.all
        assert all(taker.is_blocked == (taker in self.blocked) for taker in self.all)
        for channel in self.channels:
            assert list(channel.blocked) == [
                taker for taker in self.blocked if taker.channel is channel
            ]


TurnsMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
TestTurns = TurnsMachine.TestCase
