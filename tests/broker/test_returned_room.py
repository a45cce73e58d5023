"""Who goes on first when room comes back: against RabbitMQ's way, and rule by rule."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from pamqp import commands

from tests.amqp_bytes import command_frame
from tests.broker.client import connect, make_broker
from tests.broker.turns_twin import Limited, Subscription, TurnsTwin

if TYPE_CHECKING:
    from tests.broker.client import MemoryClient

BODIES = [b"%d" % number for number in range(1, 31)]


def start(client: MemoryClient, tags: str, queue: str = "q", **arguments: tuple[str, int]) -> None:
    """Start consumers, each with a letter for its tag."""
    for tag in tags:
        named = {"x-" + name: value for name, value in arguments.items()}
        client.consume(queue, named, tag=tag)


def ack(client: MemoryClient, *tags: int) -> None:
    """Send acks in a row, in one write."""
    client.send(b"".join(command_frame(commands.Basic.Ack(tag), 1) for tag in tags))


def takers(client: MemoryClient) -> str:
    """Return the tags of those who have got something, in order."""
    found = ""
    while client._waiting[1] or not client.is_silent:
        found += str(client.deliver().command["consumer_tag"])
    return found


# a prefetch of their own


def test_acks_in_a_row_give_room_back_one_by_one(client: MemoryClient) -> None:
    client.declare("q")
    client.qos(3)
    start(client, "za")
    client.publish("q", *BODIES)
    assert takers(client) == "zazaza"
    ack(client, 1, 2, 3, 5)
    assert takers(client) == "zazz"
    ack(client, 4, 8, 6)
    assert takers(client) == "aaa"


def test_an_ack_of_many_gives_room_back_by_consumer_tag(client: MemoryClient) -> None:
    client.declare("q")
    client.qos(2)
    start(client, "zab")
    client.publish("q", *BODIES)
    assert takers(client) == "zabzab"
    client.ack(5, multiple=True)
    assert takers(client) == "aabzz"


def test_many_that_are_given_up_die_by_consumer_tag(client: MemoryClient) -> None:
    client.declare("dead")
    dead = {"x-dead-letter-exchange": ("S", b""), "x-dead-letter-routing-key": ("S", b"dead")}
    client.declare("q", dead)
    client.publish("q", b"got")
    client.get("q", no_ack=False)
    start(client, "za")
    client.publish("q", *BODIES[:4])
    assert takers(client) == "zaza"
    client.nack(5, multiple=True, requeue=False)
    assert client.get_all("dead") == [b"got", b"2", b"4", b"1", b"3"]


def test_who_is_blocked_by_its_own_prefetch_goes_on_by_its_own_ack_only(
    client: MemoryClient,
) -> None:
    client.declare("q")
    client.qos(1)
    start(client, "abc")
    client.publish("q", *BODIES)
    assert takers(client) == "abc"
    ack(client, 2)
    assert takers(client) == "b"
    assert list(client.channel().blocked) == [client.consumer(tag) for tag in "acb"]


# a prefetch that they share


def test_room_that_is_shared_goes_to_whoever_was_blocked_first(client: MemoryClient) -> None:
    client.declare("q")
    start(client, "a")
    client.qos(1, is_global=True)
    start(client, "b")
    client.publish("q", *BODIES)
    assert takers(client) == "a"
    client.nack(1, multiple=True, requeue=False)
    assert takers(client) == "b"
    ack(client, 2)
    assert takers(client) == "a"


def test_all_of_a_queue_take_turns_when_there_is_room(client: MemoryClient) -> None:
    client.declare("q")
    client.qos(3, is_global=True)
    start(client, "zabc")
    client.publish("q", *BODIES)
    assert takers(client) == "zab"
    client.ack(3, multiple=True)
    assert takers(client) == "cza"
    client.qos(5, is_global=True)
    assert takers(client) == "bc"
    client.qos(0, is_global=True)
    assert takers(client)[:8] == "zabczabc"


def test_the_highest_priority_of_a_queue_goes_first(client: MemoryClient) -> None:
    client.declare("q")
    client.qos(2, is_global=True)
    start(client, "l", priority=("I", -1))
    start(client, "hi", priority=("I", 1))
    client.publish("q", *BODIES)
    assert takers(client) == "hi"
    client.ack(2, multiple=True)
    assert takers(client) == "hi"


def test_those_without_room_of_their_own_are_passed_over(client: MemoryClient) -> None:
    client.declare("q")
    client.qos(1)
    start(client, "ab")
    client.qos(0)
    start(client, "c")
    client.qos(3, is_global=True)
    client.publish("q", *BODIES)
    assert takers(client) == "abc"
    ack(client, 3)
    assert takers(client) == "c"
    ack(client, 2)
    assert takers(client) == "b"
    ack(client, 4)
    assert takers(client) == "c"


def test_a_limit_that_was_lowered_is_kept_by_those_with_room_of_their_own(
    client: MemoryClient,
) -> None:
    client.declare("q")
    client.qos(1)
    start(client, "zab")
    client.qos(2, is_global=True)
    client.publish("q", *BODIES)
    assert takers(client) == "za"
    client.qos(1, is_global=True)
    ack(client, 1)
    assert client.is_silent
    ack(client, 2)
    assert takers(client) == "a", "b and z were asked meanwhile, in vain"
    ack(client, 3)
    assert takers(client) == "b"


def test_the_queue_that_waits_longest_is_served_first(client: MemoryClient) -> None:
    client.qos(1, is_global=True)
    for queue in ("p", "q", "r"):
        client.declare(queue)
    for tag, queue in ("a", "p"), ("b", "p"), ("c", "q"), ("d", "r"):
        start(client, tag, queue)
    for queue in ("p", "q", "r"):
        client.publish(queue, *BODIES)
    served = takers(client)
    for number in range(1, 9):
        ack(client, number)
        served += takers(client)
    assert served == "abcdacdbc", "after the first p, q and r in turn"


def test_a_quorum_queue_has_no_part_in_what_is_shared(client: MemoryClient) -> None:
    client.declare("c")
    client.declare("q", {"x-queue-type": ("S", b"quorum")}, durable=True)
    client.qos(1)
    start(client, "ab")
    client.qos(0)
    start(client, "c")
    start(client, "z", "c")
    client.qos(1, is_global=True)
    client.publish("c", *BODIES)
    big = bytes(90_000)
    client.publish("q", *[big] * 40)
    assert client.session.is_full
    ack(client, 3)
    served = takers(client)
    assert served.startswith("zabc")
    assert served[4:].count("b") == 1, "it has room, though the connection was full then"
    assert len(served) == 41


def test_who_leaves_is_not_blocked(client: MemoryClient) -> None:
    client.declare("q")
    client.qos(1, is_global=True)
    start(client, "abc")
    client.publish("q", *BODIES)
    assert takers(client) == "a"
    client.cancel("b")
    assert list(client.channel().blocked) == [client.consumer("c"), client.consumer("a")]
    ack(client, 1)
    assert takers(client) == "c"
    client.delete("q")
    assert not client.channel().blocked


class Held(NamedTuple):
    """A message on loan."""

    consumer: Subscription
    number: int


class RoomMachine(RuleBasedStateMachine):
    """Two channels of a client consume from one queue as they would on RabbitMQ."""

    def __init__(self) -> None:
        super().__init__()
        broker = make_broker()
        self.publisher = connect(broker)
        self.client = connect(broker, 1, 2)
        self.publisher.declare("q")
        self.twin = TurnsTwin()
        self.channels = {1: Limited(), 2: Limited()}
        self.consumers: dict[str, tuple[int, Subscription]] = {}
        self.held: dict[int, dict[int, Held]] = {1: {}, 2: {}}
        self.number = 0
        self.serial = 0

    @rule(count=st.integers(1, 4))
    def publish(self, count: int) -> None:
        numbers = range(self.number, self.number + count)
        self.number += count
        self.publisher.publish("q", *[b"%d" % number for number in numbers])
        for number in numbers:
            self.twin.publish(number)

    @rule(
        at=st.sampled_from([1, 1, 2]),
        letter=st.sampled_from("azm"),
        prefetch=st.sampled_from([0, 1, 1, 2]),
        priority=st.sampled_from([0, 0, 0, 1]),
        no_ack=st.sampled_from([False] * 5 + [True]),
    )
    def consume(self, at: int, letter: str, prefetch: int, priority: int, no_ack: bool) -> None:
        self.serial += 1
        tag = f"{letter}{self.serial}"
        channel = self.channels[at]
        credit = prefetch if prefetch and not no_ack else None
        consumer = Subscription(tag, channel, priority, credit, no_ack)
        self.consumers[tag] = at, consumer
        self.client.channel(at).prefetch_count = prefetch
        arguments = {"x-priority": ("I", priority)}
        self.client.consume("q", arguments, tag=tag, no_ack=no_ack, channel=at)
        self.twin.add(consumer)

    @precondition(lambda self: len(self.consumers) > 2)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        tag = data.draw(st.sampled_from(sorted(self.consumers)))
        at, consumer = self.consumers.pop(tag)
        self.client.cancel(tag, at)
        self.twin.remove(consumer)

    @rule(at=st.sampled_from([1, 1, 2]), limit=st.integers(0, 3))
    def limit(self, at: int, limit: int) -> None:
        self.client.qos(limit, is_global=True, channel=at)
        self.twin.limit(self.channels[at], limit)

    @precondition(lambda self: any(self.held.values()))
    @rule(data=st.data())
    def ack(self, data: st.DataObject) -> None:
        at = self._holder(data)
        tags = data.draw(
            st.lists(st.sampled_from(sorted(self.held[at])), min_size=1, max_size=4, unique=True)
        )
        shares = [(self.held[at].pop(tag).consumer, 1) for tag in tags]
        self.client.send(b"".join(command_frame(commands.Basic.Ack(tag), at) for tag in tags))
        self.twin.settle(self.channels[at], shares)

    @precondition(lambda self: any(self.held.values()))
    @rule(data=st.data(), is_ack=st.booleans())
    def settle_many(self, data: st.DataObject, is_ack: bool) -> None:
        at = self._holder(data)
        last = data.draw(st.sampled_from(sorted(self.held[at])))
        taken = [self.held[at].pop(tag) for tag in sorted(self.held[at]) if tag <= last]
        if is_ack:
            self.client.ack(last, multiple=True, channel=at)
        else:
            self.client.nack(last, multiple=True, requeue=False, channel=at)
        taken.sort(key=lambda held: held.consumer.tag)
        shares = [
            (consumer, len(list(group)))
            for consumer, group in groupby(taken, key=lambda held: held.consumer)
        ]
        self.twin.settle(self.channels[at], shares)

    @precondition(lambda self: any(self.held.values()))
    @rule(data=st.data())
    def requeue(self, data: st.DataObject) -> None:
        """With a limit, RabbitMQ's limiter and what comes back race to the queue."""
        at = self._holder(data)
        if self.channels[at].limit:
            return
        tag = data.draw(st.sampled_from(sorted(self.held[at])))
        held = self.held[at].pop(tag)
        self.client.reject(tag, channel=at)
        self.twin.requeue(held.consumer, held.number)

    def _holder(self, data: st.DataObject) -> int:
        return data.draw(st.sampled_from([at for at, held in self.held.items() if held]))

    @invariant()
    def the_same_get_the_same(self) -> None:
        expected, self.twin.delivered = self.twin.delivered, []
        for consumer, number in expected:
            at = next(at for at, channel in self.channels.items() if channel is consumer.channel)
            message = self.client.deliver(at)
            got = str(message.command["consumer_tag"]), int(message.body)
            assert got == (consumer.tag, number)
            if not consumer.no_ack:
                self.held[at][message.tag] = Held(consumer, number)
        assert self.client.is_silent

    @invariant()
    def knows_who_is_blocked(self) -> None:
        """In an order that matters among equal priorities only."""
        for at, channel in self.channels.items():
            ours, theirs = list(self.client.channel(at).blocked), channel.blocked
            for priority in (0, 1):
                blocked = [each.tag for each in ours if each.priority == priority]
                assert blocked == [each.tag for each in theirs if each.priority == priority]


RoomMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestRoom = RoomMachine.TestCase
