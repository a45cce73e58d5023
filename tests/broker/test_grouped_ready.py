"""The ready messages of a queue with groups, against the obvious list (FEATURES N5)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from amqpbroker.broker.grouped_ready import STALE_COUNT_MIN, GroupedReady
from amqpbroker.broker.message import Message
from amqpbroker.wire.content import Publication
from amqpbroker.wire.table import Field

KEYS = st.sampled_from([None, b"a", b"b", b"c"])


def message(key: bytes | None, body: bytes = b"x") -> Message:
    properties: dict[str, Any] = {}
    if key is not None:
        properties["headers"] = {"x-group-key": Field("S", key)}
    return Message(Publication.of("", "q", properties, len(body)), body)


def filled(*keys: bytes | None) -> GroupedReady:
    ready = GroupedReady()
    ready.extend([message(key, b"%d" % number) for number, key in enumerate(keys)])
    return ready


def take(ready: GroupedReady) -> tuple[int, Message]:
    """Take and lend the next message."""
    position, taken, _ = ready.pop()
    ready.hold(taken)
    return position, taken


def test_a_group_waits_for_its_message() -> None:
    ready = filled(b"a", b"a", None, b"b")
    first = take(ready)
    assert [take(ready)[0] for _ in range(2)] == [2, 3]
    assert not ready.has_next()
    assert len(ready) == 1
    with pytest.raises(IndexError):
        ready.pop()
    ready.release(first[1])
    assert take(ready)[0] == 1


def test_what_comes_back_is_the_next_of_its_group() -> None:
    ready = filled(b"a", b"a", b"b")
    position, taken = take(ready)
    ready.give_back(position, taken)
    popped = ready.pop()
    assert (popped.position, popped.redelivered) == (0, True)


def test_what_is_not_lent_holds_nothing() -> None:
    ready = filled(b"a", b"a")
    assert [ready.pop().position, ready.pop().position] == [0, 1]
    assert ready.group_count == 0


def test_room_is_made_by_the_oldest_even_of_a_group_that_waits() -> None:
    ready = filled(b"a", b"a", b"b")
    take(ready)
    assert ready.pop_oldest().position == 1
    assert ready.pop_oldest().position == 2
    assert ready.group_count == 1


def test_clearing_leaves_groups_with_loans() -> None:
    ready = filled(b"a", b"a", b"b")
    _, taken = take(ready)
    assert len(ready.clear()) == 2
    ready.extend([message(b"a"), message(b"b")])
    assert take(ready)[0] == 4
    ready.release(taken)
    assert take(ready)[0] == 3


def test_messages_from_before_a_restart_are_redelivered() -> None:
    ready = GroupedReady()
    ready.recover([message(b"a"), message(b"a")])
    assert ready.pop().redelivered


def test_positions_of_what_has_gone_are_thrown_out() -> None:
    ready = filled(None, *[b"a"] * 1000)
    for position in range(2, 1001):
        ready.remove(position)
    for position in range(1001, 3000):
        ready.extend([message(None)])
        ready.remove(position)
    assert len(ready._groups[b"a"].order) <= STALE_COUNT_MIN + 3
    assert len(ready._next) <= STALE_COUNT_MIN + 5


class Twin(RuleBasedStateMachine):
    """Any order of events; the model looks at everything each time."""

    def __init__(self) -> None:
        super().__init__()
        self.ready = GroupedReady()
        self.here: dict[int, Message] = {}
        self.out: dict[int, Message] = {}
        self.returned: set[int] = set()
        self.count = 0

    def key(self, item: Message) -> Any:
        return item.headers.get("x-group-key")

    def free(self) -> list[int]:
        """Positions that may be taken, the next one first."""
        held = {self.key(item) for item in self.out.values()}
        seen: set[Any] = set()
        found = []
        for position, item in sorted(self.here.items()):
            key = self.key(item)
            if key is None or key not in held | seen:
                found.append(position)
            seen.add(key)
        return found

    @rule(keys=st.lists(KEYS, min_size=1, max_size=4))
    def extend(self, keys: list[bytes | None]) -> None:
        new = [message(key) for key in keys]
        self.here.update(enumerate(new, self.count))
        self.count += len(new)
        self.ready.extend(new)

    @rule(is_lent=st.booleans())
    def pop(self, is_lent: bool) -> None:
        free = self.free()
        assert self.ready.has_next() == bool(free)
        if not free:
            return
        position, taken, is_redelivered = self.ready.pop()
        assert position == free[0]
        assert taken is self.here.pop(position)
        assert is_redelivered == (position in self.returned)
        if is_lent:
            self.ready.hold(taken)
            self.out[position] = taken

    @precondition(lambda self: self.out)
    @rule(data=st.data(), is_returned=st.booleans())
    def settle(self, data: st.DataObject, is_returned: bool) -> None:
        position = data.draw(st.sampled_from(sorted(self.out)))
        item = self.out.pop(position)
        if is_returned:
            self.returned.add(position)
            self.here[position] = item
            self.ready.give_back(position, item)
        else:
            self.ready.release(item)

    @precondition(lambda self: self.here)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        position = data.draw(st.sampled_from(sorted(self.here)))
        assert self.ready.remove(position) is self.here.pop(position)
        assert self.ready.remove(position) is None

    @precondition(lambda self: self.here)
    @rule()
    def drop_oldest(self) -> None:
        position = min(self.here)
        assert self.ready.pop_oldest().message is self.here.pop(position)

    @rule()
    def clear(self) -> None:
        assert set(self.ready.clear()) == set(self.here.values())
        self.here.clear()

    @invariant()
    def counts_agree(self) -> None:
        assert len(self.ready) == len(self.here)
        assert bool(self.ready) == bool(self.here)
        assert self.ready.size == len(self.here)
        assert dict(self.ready.placed()) == self.here
        items = [*self.here.values(), *self.out.values()]
        keys = {self.key(item) for item in items} - {None}
        assert self.ready.group_count == len(keys)


TestTwin = Twin.TestCase
TestTwin.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
