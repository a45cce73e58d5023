"""Workers that come, settle and go at random, for queues that keep an order by key.

What every such queue promises is checked here; subclasses add what theirs promises besides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from amqpbroker.broker.bodies import in_memory
from tests.amqp_bytes import properties
from tests.broker.client import MemoryClient, connect, make_broker

if TYPE_CHECKING:
    from amqpbroker.broker.broker import Broker
    from amqpbroker.broker.queue import Queue


class Job(NamedTuple):
    """A message: its number is its place in the queue and its body."""

    number: int
    key: bytes | None


class Worker:
    """A client with one consumer, and what it holds: delivery tag → number."""

    def __init__(self, broker: Broker, prefetch: int) -> None:
        self.client: MemoryClient = connect(broker)
        self.client.qos(prefetch)
        self.prefetch = prefetch
        self.held: dict[int, int] = {}
        self.client.consume("q", tag="c")
        self.is_consuming = True
        self.consumer = self.client.consumer("c")

    def read(self) -> list[int]:
        """Return the numbers of what has come."""
        numbers = []
        while not self.client.is_silent:
            delivery = self.client.deliver()
            command: Any = delivery.command
            self.held[command.delivery_tag] = int(delivery.body)
            numbers.append(int(delivery.body))
        return numbers

    @property
    def has_room(self) -> bool:
        return self.is_consuming and len(self.held) < self.prefetch


class WorkerTwin(RuleBasedStateMachine):
    """A queue with ``arguments``, and what is to be seen from outside."""

    arguments: ClassVar[dict[str, tuple[str, Any]]] = {}
    header: ClassVar[str] = ""
    keys: ClassVar[list[bytes | None]] = [None, b"a", b"b", b"c"]

    def __init__(self) -> None:
        super().__init__()
        self.broker = make_broker()
        self.publisher = connect(self.broker)
        self.publisher.declare("q", self.arguments)
        self.workers: list[Worker] = []
        self.jobs: dict[int, Job] = {}
        """All that are not settled for good."""
        self.count = 0
        self.delivered: list[int] = []

    @property
    def queue(self) -> Queue:
        return self.publisher.queue("q")

    @property
    def ready(self) -> set[int]:
        """Numbers of what is ready, as the workers see it."""
        held = [number for worker in self.workers for number in worker.held.values()]
        assert len(held) == len(set(held)), "a message is with two workers"
        assert set(held) <= self.jobs.keys()
        return self.jobs.keys() - set(held)

    def read(self) -> None:
        for worker in self.workers:
            before = self.ready
            for number in worker.read():
                assert number in before, "delivered twice"
                self.came(worker, self.jobs[number])

    def came(self, worker: Worker, job: Job) -> None:
        """A job has come to a worker."""

    @initialize(prefetch=st.integers(1, 3))
    def first(self, prefetch: int) -> None:
        self.add(prefetch)

    @precondition(lambda self: len(self.workers) < 4)
    @rule(prefetch=st.integers(1, 3))
    def add(self, prefetch: int) -> None:
        self.workers.append(Worker(self.broker, prefetch))
        self.read()

    @rule(data=st.data())
    def publish(self, data: st.DataObject) -> None:
        for key in data.draw(st.lists(st.sampled_from(self.keys), min_size=1, max_size=4)):
            job = Job(self.count, key)
            self.jobs[self.count] = job
            self.count += 1
            header = properties(headers={self.header: ("S", key)}) if key is not None else bytes(2)
            self.publisher.publish("q", b"%d" % job.number, header=header)
        self.read()

    @precondition(lambda self: any(worker.held for worker in self.workers))
    @rule(data=st.data(), multiple=st.booleans(), outcome=st.sampled_from(("ack", "drop", "nack")))
    def settle(self, data: st.DataObject, multiple: bool, outcome: str) -> None:
        worker = data.draw(st.sampled_from([item for item in self.workers if item.held]))
        tag = data.draw(st.sampled_from(sorted(worker.held)))
        tags = [item for item in worker.held if item == tag or (multiple and item < tag)]
        numbers = [worker.held.pop(item) for item in tags]
        if outcome != "nack":
            for number in numbers:
                del self.jobs[number]
        if outcome == "ack":
            worker.client.ack(tag, multiple=multiple)
        else:
            worker.client.nack(tag, multiple=multiple, requeue=outcome == "nack")
        self.read()

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(self.workers))
        self.workers.remove(worker)
        worker.client.close()
        self.read()

    @precondition(lambda self: any(worker.is_consuming for worker in self.workers))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from([item for item in self.workers if item.is_consuming]))
        worker.client.cancel("c")
        worker.is_consuming = False
        self.read()

    @rule()
    def purge(self) -> None:
        for number in self.ready:
            del self.jobs[number]
        self.queue.purge()

    @invariant()
    def the_counts_are_right(self) -> None:
        assert {int(body) for body in in_memory(list(self.queue.ready))} == self.ready
        assert self.queue.unsettled_count == len(self.jobs) - len(self.ready)

    @invariant()
    def nobody_waits_in_vain(self) -> None:
        """Whatever may be delivered to somebody with room has been."""
        for number in self.ready:
            for worker in self.workers:
                assert not (worker.has_room and self.may_get(worker, self.jobs[number]))

    def may_get(self, worker: Worker, job: Job) -> bool:
        """Return whether a worker with room should have got a job that is ready."""
        raise NotImplementedError


class GroupTwin(WorkerTwin):
    """Workers of a queue with groups: of each group one message at a time is out, the oldest."""

    header = "x-group-key"

    def held_keys(self) -> list[bytes]:
        held = [self.jobs[number] for worker in self.workers for number in worker.held.values()]
        return [job.key for job in held if job.key is not None]

    def came(self, worker: Worker, job: Job) -> None:
        if job.key is None:
            return
        keys = self.held_keys()
        assert len(keys) == len(set(keys)), "two of a group are out"
        older = [self.jobs[number] for number in self.ready if number < job.number]
        assert job.key not in [other.key for other in older], "not the first of its group"

    def may_get(self, worker: Worker, job: Job) -> bool:
        return job.key is None or job.key not in self.held_keys()
