"""Partitions, each with one consumer at a time (DESIGN section 5)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant
from pamqp import commands

from amqpbroker.broker.murmur2 import partition_of
from amqpbroker.broker.partitioned_ready import Partition, PartitionedReady
from amqpbroker.broker.partitions import Partitions, spread
from tests.amqp_bytes import properties
from tests.broker.test_ack_deadlines import Bench
from tests.broker.worker_twin import Job, Worker, WorkerTwin

if TYPE_CHECKING:
    from amqpbroker.broker.queue import Queue
    from tests.broker.client import MemoryClient

COUNT = 4
ARGUMENTS = {"x-partitions": ("I", COUNT)}
KEYS: dict[int, bytes] = {partition_of(b"%d" % n, COUNT): b"%d" % n for n in range(40)}
"""A key for each partition."""


def publish(client: MemoryClient, number: int, *bodies: bytes) -> None:
    """Publish to a partition."""
    header = properties(headers={"x-partition-key": ("S", KEYS[number])})
    client.publish("q", *bodies, header=header)


def partitions(queue: Queue) -> list[Partition]:
    ready = queue.ready
    assert isinstance(ready, PartitionedReady)
    return ready.partitions


# who gets which


@given(st.lists(st.none() | st.integers(0, 6), max_size=20), st.sets(st.integers(0, 6)))
def test_partitions_are_spread_evenly_and_few_move(
    owners: list[int | None], takers: set[int]
) -> None:
    result = spread(owners, sorted(takers))
    assert len(result) == len(owners)
    if not takers:
        assert set(result) <= {None}
        return
    counts = Counter(result)
    numbers = [counts[taker] for taker in takers]
    assert sum(numbers) == len(owners)
    assert not numbers or max(numbers) - min(numbers) <= 1
    fair, left_over = divmod(len(owners), len(takers))
    held = sorted((owners.count(taker) for taker in takers), reverse=True)
    may_stay = sum(min(have, fair + (i < left_over)) for i, have in enumerate(held))
    stayed = sum(old == new for old, new in zip(owners, result, strict=True) if new is not None)
    assert stayed == may_stay


def test_consumers_share_the_partitions(client: MemoryClient, other: MemoryClient) -> None:
    client.declare("q", ARGUMENTS)
    client.consume("q")
    other.consume("q")
    for number in range(COUNT):
        publish(client, number, b"%d" % number, b"%d" % number)
    seen = client.messages(), other.messages()
    assert [len(bodies) for bodies in seen] == [COUNT, COUNT]
    assert not set(seen[0]) & set(seen[1])


def test_more_consumers_than_partitions_stand_by(client: MemoryClient) -> None:
    client.declare("q", {"x-partitions": ("I", 2)})
    for tag in ("a", "b", "c"):
        client.consume("q", tag=tag)
    queue = client.queue("q")
    assert {item.consumer and item.consumer.tag for item in partitions(queue)} == {"a", "b"}
    client.cancel("a")
    assert {item.consumer and item.consumer.tag for item in partitions(queue)} == {"b", "c"}


def test_a_partition_moves_when_its_loans_are_settled(
    client: MemoryClient, other: MemoryClient
) -> None:
    client.declare("q", ARGUMENTS)
    client.consume("q")
    for number in range(COUNT):
        publish(client, number, b"%d" % number)
    assert client.messages() == [b"0", b"1", b"2", b"3"]
    other.consume("q")
    moving = [item.number for item in partitions(client.queue("q")) if item.is_moving]
    assert len(moving) == 2
    for number in moving:
        publish(client, number, b"next")
    assert client.is_silent
    assert other.is_silent
    client.ack(moving[0] + 1)
    assert other.messages() == [b"next"]
    client.nack(moving[1] + 1)
    assert other.messages() == [b"%d" % moving[1], b"next"]


def test_a_cancelled_consumer_keeps_its_partitions_busy(
    client: MemoryClient, other: MemoryClient
) -> None:
    client.declare("q", ARGUMENTS)
    client.consume("q", tag="c")
    publish(client, 1, b"1", b"2")
    assert client.messages() == [b"1", b"2"]
    client.cancel("c")
    other.consume("q")
    publish(client, 1, b"3")
    publish(client, 2, b"4")
    assert other.messages() == [b"4"]
    client.ack(1)
    assert other.is_silent
    client.ack(2)
    assert other.messages() == [b"3"]


def test_the_dead_give_back_all_before_anything_moves(
    client: MemoryClient, other: MemoryClient
) -> None:
    client.declare("q", ARGUMENTS)
    client.consume("q")
    publish(client, 0, b"1", b"2", b"3")
    client.messages()
    other.consume("q")
    client.close()
    assert other.messages() == [b"1", b"2", b"3"]


def test_all_partitions_of_a_consumer_are_served_by_age(client: MemoryClient) -> None:
    client.declare("q", ARGUMENTS)
    for body in (b"a", b"b", b"c"):
        for number in (2, 0, 3):
            publish(client, number, body + b"%d" % number)
    client.qos(5)
    client.consume("q")
    assert client.messages() == [b"a2", b"a0", b"a3", b"b2", b"b0"]
    client.ack(5, multiple=True)
    assert client.messages() == [b"b3", b"c2", b"c0", b"c3"]


def test_a_full_consumer_stops_no_other(client: MemoryClient, other: MemoryClient) -> None:
    client.declare("q", ARGUMENTS)
    client.qos(1)
    client.consume("q")
    other.consume("q")
    for _ in range(3):
        for number in range(COUNT):
            publish(client, number, b"%d" % number)
    assert len(client.messages()) == 1
    assert len(other.messages()) == 6


def test_get_takes_what_nobody_has_a_part_of(client: MemoryClient, other: MemoryClient) -> None:
    client.declare("q", ARGUMENTS)
    publish(client, 0, b"1", b"2")
    publish(client, 1, b"3")
    bodies = [client.get("q", no_ack=False) for _ in range(3)]
    assert [message and message.body for message in bodies] == [b"1", b"3", None]
    other.consume("q")
    assert other.is_silent
    client.ack(1)
    assert other.messages() == [b"2"]
    client.nack(2)
    assert other.messages() == [b"3"]
    assert client.get("q") is None


def test_auto_ack_lends_nothing(client: MemoryClient, other: MemoryClient) -> None:
    client.declare("q", ARGUMENTS)
    client.consume("q", no_ack=True)
    publish(client, 0, b"1")
    assert client.messages() == [b"1"]
    client.close()
    other.consume("q", no_ack=True)
    publish(other, 0, b"2")
    assert other.messages() == [b"2"]


# together with other features


def test_late_messages_move_on() -> None:
    bench = Bench()
    client, other = bench.client, bench.connect()
    client.declare("q", {**ARGUMENTS, "x-ack-deadline": ("I", 1000)})
    client.consume("q", tag="c")
    publish(client, 0, b"1", b"2")
    assert client.messages() == [b"1", b"2"]
    client.cancel("c")
    other.consume("q")
    assert other.is_silent
    bench.advance(1)
    assert other.messages() == [b"1", b"2"]


def test_messages_expire_in_all_partitions() -> None:
    bench = Bench()
    client = bench.client
    client.declare("q", {**ARGUMENTS, "x-message-ttl": ("I", 1000)})
    for number in range(COUNT):
        publish(client, number, b"%d" % number)
    bench.advance(1)
    assert len(client.queue("q").ready) == 0
    publish(client, 1, b"new")
    client.consume("q")
    assert client.messages() == [b"new"]


@pytest.mark.parametrize(
    ("overflow", "left"), [("drop-head", [b"2", b"3"]), ("reject-publish", [b"0", b"1"])]
)
def test_length_limits_are_of_the_whole_queue(
    client: MemoryClient, overflow: str, left: list[bytes]
) -> None:
    limit = {"x-max-length": ("I", 2), "x-overflow": ("S", overflow.encode())}
    client.declare("q", ARGUMENTS | limit)
    for number in range(COUNT):
        publish(client, number, b"%d" % number)
    client.consume("q")
    assert client.messages() == left


def test_rejected_messages_die(client: MemoryClient) -> None:
    client.declare("dead")
    dead = {"x-dead-letter-exchange": ("S", b""), "x-dead-letter-routing-key": ("S", b"dead")}
    client.declare("q", ARGUMENTS | dead)
    client.consume("q")
    publish(client, 0, b"1")
    client.deliver()
    client.reject(1, requeue=False)
    assert client.get_all("dead") == [b"1"]


def test_an_exclusive_consumer_has_them_all(client: MemoryClient) -> None:
    client.declare("q", ARGUMENTS)
    client.consume("q", exclusive=True)
    for number in range(COUNT):
        publish(client, number, b"%d" % number)
    assert client.messages() == [b"0", b"1", b"2", b"3"]


def test_global_prefetch_is_kept(client: MemoryClient) -> None:
    client.declare("q", ARGUMENTS)
    client.qos(3, is_global=True)
    client.consume("q", tag="a")
    client.consume("q", tag="b")
    for number in range(COUNT):
        publish(client, number, b"%d" % number)
    assert len(client.messages()) == 3
    client.ack(0, multiple=True)
    assert len(client.messages()) == 1


def test_no_consumer_starves_under_a_global_prefetch(client: MemoryClient) -> None:
    client.declare("q", ARGUMENTS)
    client.qos(1, is_global=True)
    for tag in ("a", "b"):
        client.consume("q", tag=tag)
    for number in range(COUNT):
        publish(client, number, *[b"x"] * 3)
    assert client.takers_one_by_one(6)[1:5] in (["a", "b"] * 2, ["b", "a"] * 2)


@pytest.mark.parametrize(
    ("argument", "field"),
    [
        ("x-max-priority", ("I", 5)),
        ("x-single-active-consumer", ("t", True)),
        ("x-message-groups", ("t", True)),
    ],
)
def test_what_contradicts_partitions_is_refused(
    client: MemoryClient, argument: str, field: tuple[str, Any]
) -> None:
    command = commands.Queue.Declare(queue="q")
    client.send_command(command, arguments=ARGUMENTS | {argument: field})
    text = (
        "PRECONDITION_FAILED - invalid arg 'x-partitions' for queue 'q' in vhost '/': "
        f"not possible with '{argument}'"
    )
    client.expect_channel_error(406, text, (50, 10))


@pytest.mark.parametrize(
    ("value", "wrong"), [(0, "{value_zero,0}"), (1025, "{max_value_exceeded,1025}")]
)
def test_the_number_is_limited(client: MemoryClient, value: int, wrong: str) -> None:
    command = commands.Queue.Declare(queue="q")
    client.send_command(command, arguments={"x-partitions": ("I", value)})
    text = f"PRECONDITION_FAILED - invalid arg 'x-partitions' for queue 'q' in vhost '/': {wrong}"
    client.expect_channel_error(406, text, (50, 10))


def test_the_number_cannot_change(client: MemoryClient) -> None:
    client.declare("q", ARGUMENTS)
    command = commands.Queue.Declare(queue="q")
    client.send_command(command, arguments={"x-partitions": ("I", 8)})
    text = (
        "PRECONDITION_FAILED - inequivalent arg 'x-partitions' for queue 'q' in vhost '/': "
        "received '8' but current is '4'"
    )
    client.expect_channel_error(406, text, (50, 10))


def test_priorities_of_consumers_are_refused(client: MemoryClient) -> None:
    client.declare("q", ARGUMENTS)
    client.send_command(commands.Basic.Consume(queue="q"), arguments={"x-priority": ("I", 1)})
    text = (
        "PRECONDITION_FAILED - invalid arg 'x-priority' for queue 'q' in vhost '/': "
        "not possible with 'x-partitions'"
    )
    client.expect_channel_error(406, text, (60, 20))


def test_one_partition_is_an_ordinary_queue(client: MemoryClient) -> None:
    assert client.queue(client.declare("q", {"x-partitions": ("I", 1)})).dispatch is None


class Twin(WorkerTwin):
    """Random workers of a queue with partitions."""

    arguments: ClassVar[dict[str, tuple[str, Any]]] = ARGUMENTS
    header = "x-partition-key"
    keys: ClassVar[list[bytes | None]] = [None, *KEYS.values()]

    def number(self, job: Job) -> int:
        return partition_of(job.key or b"q", COUNT)

    def holders(self, number: int) -> list[Worker]:
        return [
            worker
            for worker in self.workers
            if any(self.number(self.jobs[job]) == number for job in worker.held.values())
        ]

    def came(self, worker: Worker, job: Job) -> None:
        number = self.number(job)
        assert self.holders(number) == [worker], "a partition is with two workers"
        older = [self.jobs[other] for other in self.ready if other < job.number]
        assert number not in map(self.number, older), "overtaken"

    def may_get(self, worker: Worker, job: Job) -> bool:
        number = self.number(job)
        is_assigned = partitions(self.queue)[number].consumer is worker.consumer
        return is_assigned and self.holders(number) in ([], [worker])

    @invariant()
    def partitions_are_spread(self) -> None:
        dispatch = self.queue.dispatch
        assert isinstance(dispatch, Partitions)
        owners = Counter(item.consumer for item in partitions(self.queue))
        consuming = [worker.consumer for worker in self.workers if worker.is_consuming]
        if consuming:
            counts = [owners[consumer] for consumer in consuming]
            assert sum(counts) == COUNT
            assert max(counts) - min(counts) <= 1

    @invariant()
    def loans_are_counted(self) -> None:
        held = Counter(
            self.number(self.jobs[job]) for worker in self.workers for job in worker.held.values()
        )
        for partition in partitions(self.queue):
            assert partition.loan_count == held[partition.number]


TestTwin = Twin.TestCase
TestTwin.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
