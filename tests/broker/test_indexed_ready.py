"""Indexed ready messages against the obvious version: a list sorted by level and position."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from amqpbroker.broker.indexed_ready import IndexedReady
from amqpbroker.broker.message import Message
from amqpbroker.broker.ready import ReadyMessages
from amqpbroker.wire.content import Publication

PRIORITIES = st.none() | st.integers(0, 5)


def message(priority: int | None = None, size: int = 1) -> Message:
    properties: dict[str, Any] = {} if priority is None else {"priority": priority}
    return Message(Publication.of("", "q", properties, size), b"x" * size)


class IndexedMachine(RuleBasedStateMachine):
    """The model: (-level, position, message, redelivered), sorted."""

    def __init__(self) -> None:
        super().__init__()
        self.ready = IndexedReady()
        self.max_priority = 0
        self.model: list[tuple[int, int, Message, bool]] = []
        self.next_position = 0
        self.lent: dict[int, Message] = {}

    @initialize(max_priority=st.sampled_from([0, 1, 3, 255]))
    def choose(self, max_priority: int) -> None:
        self.ready = IndexedReady(max_priority)
        self.max_priority = max_priority

    def put(self, position: int, added: Message, redelivered: bool) -> None:
        priority = added.publication.properties.get("priority", 0)
        level = min(priority, self.max_priority)
        self.model.append((-level, position, added, redelivered))
        self.model.sort(key=lambda item: item[:2])

    @rule(count=st.integers(0, 3), priority=PRIORITIES, size=st.integers(0, 3))
    def publish(self, count: int, priority: int | None, size: int) -> None:
        messages = [message(priority, size) for _ in range(count)]
        self.ready.extend(messages)
        for added in messages:
            self.put(self.next_position, added, False)
            self.next_position += 1
        assert self.ready.next_position == self.next_position

    @precondition(lambda self: not self.model)
    @rule(priority=PRIORITIES)
    def pass_through(self, priority: int | None) -> None:
        assert self.ready.skip(1) == self.next_position
        self.lent[self.next_position] = message(priority)
        self.next_position += 1

    @precondition(lambda self: self.model)
    @rule()
    def pop(self) -> None:
        _, position, expected, redelivered = self.model.pop(0)
        assert self.ready.pop() == (position, expected, redelivered)
        self.lent[position] = expected

    @precondition(lambda self: self.lent)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        position = data.draw(st.sampled_from(sorted(self.lent)))
        returned = self.lent.pop(position)
        self.ready.give_back(position, returned)
        self.put(position, returned, True)

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        position = data.draw(st.integers(0, self.next_position))
        found = [item for item in self.model if item[1] == position]
        assert self.ready.remove(position) is (found[0][2] if found else None)
        self.model = [item for item in self.model if item not in found]

    @rule()
    def clear(self) -> None:
        assert self.ready.clear() == [item[2] for item in self.model]
        self.model.clear()

    @invariant()
    def holds_the_same(self) -> None:
        assert len(self.ready) == len(self.model)
        assert bool(self.ready) == bool(self.model)
        if self.model:
            assert self.ready.peek() is self.model[0][2]
        assert self.ready.size == sum(item[2].publication.body_size for item in self.model)
        assert list(self.ready.placed()) == [(item[1], item[2]) for item in self.model]
        assert list(self.ready) == [item[2] for item in self.model]


IndexedMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestIndexedReady = IndexedMachine.TestCase


def test_an_ordinary_queues_messages_keep_their_places() -> None:
    ready = ReadyMessages()
    messages = [message() for _ in range(4)]
    ready.recover(messages[:2])
    ready.extend(messages[2:])
    first, second = ready.pop(), ready.pop()
    ready.give_back(second.position, second.message)
    ready.give_back(first.position, first.message)
    indexed = IndexedReady.of(ready)
    assert indexed.next_position == 4
    assert [indexed.pop() for _ in range(4)] == [
        (position, item, position < 2) for position, item in enumerate(messages)
    ]


def test_what_is_indexed_already_stays_the_same_object() -> None:
    ready = IndexedReady(3)
    assert IndexedReady.of(ready) is ready


def test_what_was_here_before_a_restart_leaves_as_redelivered() -> None:
    ready = IndexedReady()
    ready.recover([message(), message()])
    ready.extend([message()])
    assert [ready.pop().redelivered for _ in range(3)] == [True, True, False]


def test_an_empty_one_has_nothing_to_pop() -> None:
    with pytest.raises(IndexError):
        IndexedReady().pop()


def test_coming_and_going_leaves_nothing_behind() -> None:
    ready = IndexedReady()
    ready.extend([message() for _ in range(1000)])
    for position in range(1000):
        taken = ready.pop()
        ready.give_back(taken.position, taken.message)
        assert ready.remove(position) is taken.message
    (level,) = ready._levels
    assert len(level.order) < 100


def test_there_is_no_head_where_there_is_nothing() -> None:
    ready = IndexedReady()
    assert (ready.peek(), ready.look_ahead(1)) == (None, None)
