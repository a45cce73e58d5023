"""Ready messages against the obvious version: a sorted list of positions."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from amqpbroker.broker.message import Message
from amqpbroker.broker.ready import ReadyMessages
from amqpbroker.wire.content import Publication

PUBLICATION = Publication.of("", "q", {}, 0)


def message() -> Message:
    return Message(PUBLICATION, b"")


class ReadyMachine(RuleBasedStateMachine):
    """The model: (position, message, redelivered), sorted; positions count from 0."""

    def __init__(self) -> None:
        super().__init__()
        self.ready = ReadyMessages()
        self.model: list[tuple[int, Message, bool]] = []
        self.next_position = 0
        self.lent: dict[int, Message] = {}

    @rule(count=st.integers(0, 3))
    def publish(self, count: int) -> None:
        messages = [message() for _ in range(count)]
        self.ready.extend(messages)
        for added in messages:
            self.model.append((self.next_position, added, False))
            self.next_position += 1

    @precondition(lambda self: not self.model)
    @rule(count=st.integers(1, 3))
    def pass_through(self, count: int) -> None:
        first = self.ready.skip(count)
        assert first == self.next_position
        self.lent.update({first + i: message() for i in range(count)})
        self.next_position += count

    @precondition(lambda self: self.model)
    @rule()
    def pop(self) -> None:
        taken = self.ready.pop()
        assert tuple(taken) == self.model.pop(0)
        self.lent[taken.position] = taken.message

    @precondition(lambda self: self.lent)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        position = data.draw(st.sampled_from(sorted(self.lent)))
        returned = self.lent.pop(position)
        self.ready.give_back(position, returned)
        self.model.append((position, returned, True))
        self.model.sort(key=lambda item: item[0])

    @rule()
    def clear(self) -> None:
        assert set(self.ready.clear()) == {item for _, item, _ in self.model}
        self.model.clear()

    @invariant()
    def has_the_same_size(self) -> None:
        assert len(self.ready) == len(self.model)
        assert bool(self.ready) == bool(self.model)


ReadyMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
TestReadyMessages = ReadyMachine.TestCase


def test_what_was_here_before_a_restart_leaves_as_redelivered() -> None:
    ready = ReadyMessages()
    ready.recover([message(), message()])
    ready.extend([message()])
    assert [ready.pop().redelivered for _ in range(3)] == [True, True, False]


def test_a_queue_that_never_held_a_message_shares_what_is_empty() -> None:
    first, second = ReadyMessages(), ReadyMessages()
    second.clear()
    first.extend([message()])
    assert (len(first), len(second)) == (1, 0)
    assert not ReadyMessages()


def test_redelivered_messages_are_taken_together_but_not_with_others() -> None:
    ready = ReadyMessages()
    old, new = [message(), message()], [message()]
    ready.recover(old)
    ready.extend(new)
    assert ready.pop_run(9, 9) == (0, old, True)
    assert ready.pop_run(9, 9) == (2, new, False)


def test_the_head_is_seen_without_being_taken() -> None:
    ready = ReadyMessages()
    first, second = message(), message()
    ready.extend([first, second])
    assert ready.peek() is first
    position, taken, _ = ready.pop()
    assert ready.peek() is second
    ready.give_back(position, taken)
    assert ready.peek() is first
    assert len(ready) == 2


def test_looking_ahead_ends_at_the_last() -> None:
    ready = ReadyMessages()
    assert ready.look_ahead(3) is None
    messages = [message() for _ in range(3)]
    ready.extend(messages)
    assert [ready.look_ahead(count) for count in (0, 1, 2, 9)] == [*messages, messages[-1]]


def test_the_end_of_a_run_is_put_back() -> None:
    ready = ReadyMessages()
    messages = [message() for _ in range(4)]
    ready.extend(messages)
    position, run, _ = ready.pop_run(3, 9)
    ready.put_back(position + 1, run[1:])
    assert ready.pop_run(9, 9) == (1, messages[1:], False)
