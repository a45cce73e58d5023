"""Ready messages in partitions, against lists (DESIGN section 5)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from amqpbroker.broker.message import Delivery, Message
from amqpbroker.broker.murmur2 import partition_of
from amqpbroker.broker.partitioned_ready import PartitionedReady
from amqpbroker.wire.content import Publication
from amqpbroker.wire.table import Field

COUNT = 3
KEYS = st.sampled_from([b"%d" % number for number in range(8)])


def message(key: bytes | None = None, routing_key: str = "q", body: bytes = b"x") -> Message:
    properties: dict[str, Any] = {}
    if key is not None:
        properties["headers"] = {"x-partition-key": Field("S", key)}
    return Message(Publication.of("", routing_key, properties, len(body)), body)


def loan(position: int, item: Message) -> Delivery:
    return Delivery(0, None, position, item, None)  # type: ignore[arg-type]


def test_the_header_counts_more_than_the_routing_key() -> None:
    ready = PartitionedReady(50)
    by_header = ready.partition(message(b"a", "b").publication)
    assert by_header.number == partition_of(b"a", 50)
    assert ready.partition(message(None, "a").publication) is by_header
    assert ready.partition(message(None, "b").publication) is not by_header


def test_the_oldest_message_of_all_goes_first() -> None:
    ready = PartitionedReady(COUNT)
    ready.extend([message(b"%d" % number) for number in range(20)])
    assert [ready.pop().position for _ in range(20)] == list(range(20))
    with pytest.raises(IndexError):
        ready.pop()


def test_messages_from_before_a_restart_are_redelivered() -> None:
    ready = PartitionedReady(COUNT)
    ready.recover([message(b"a"), message(b"b")])
    ready.extend([message(b"a")])
    assert [ready.pop().redelivered for _ in range(3)] == [True, True, False]


class Twin(RuleBasedStateMachine):
    """Any order of events; the model looks at everything each time."""

    def __init__(self) -> None:
        super().__init__()
        self.ready = PartitionedReady(COUNT)
        self.here: dict[int, Message] = {}
        self.out: dict[int, Message] = {}
        self.count = 0

    def number(self, item: Message) -> int:
        return self.ready.partition(item.publication).number

    @rule(keys=st.lists(KEYS, min_size=1, max_size=5))
    def extend(self, keys: list[bytes]) -> None:
        new = [message(key) for key in keys]
        self.here.update(enumerate(new, self.count))
        self.count += len(new)
        self.ready.extend(new)

    @precondition(lambda self: self.here)
    @rule(data=st.data())
    def pop(self, data: st.DataObject) -> None:
        number = self.number(self.here[data.draw(st.sampled_from(sorted(self.here)))])
        position, taken, _ = self.ready.pop_of(self.ready.partitions[number])
        assert position == min(p for p, item in self.here.items() if self.number(item) == number)
        assert taken is self.here.pop(position)
        self.ready.lend([loan(position, taken)])
        self.out[position] = taken

    @precondition(lambda self: self.out)
    @rule(data=st.data(), is_returned=st.booleans())
    def settle(self, data: st.DataObject, is_returned: bool) -> None:
        position = data.draw(st.sampled_from(sorted(self.out)))
        item = self.out.pop(position)
        if is_returned:
            self.here[position] = item
            self.ready.give_back(position, item)
        else:
            self.ready.settle([loan(position, item)])

    @precondition(lambda self: self.here)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        position = data.draw(st.sampled_from(sorted(self.here)))
        assert self.ready.remove(position) is self.here.pop(position)
        assert self.ready.remove(position) is None

    @precondition(lambda self: self.here)
    @rule()
    def drop_oldest(self) -> None:
        assert self.ready.pop_oldest().message is self.here.pop(min(self.here))

    @rule()
    def clear(self) -> None:
        assert set(self.ready.clear()) == set(self.here.values())
        self.here.clear()

    @invariant()
    def counts_agree(self) -> None:
        assert len(self.ready) == self.ready.size == len(self.here)
        assert bool(self.ready) == bool(self.here)
        assert dict(self.ready.placed()) == self.here
        for partition in self.ready.partitions:
            number = partition.number
            assert len(partition) == sum(self.number(m) == number for m in self.here.values())
            lent = sum(self.number(item) == number for item in self.out.values())
            assert partition.loan_count == lent


TestTwin = Twin.TestCase
TestTwin.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
