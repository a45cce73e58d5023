"""A queue that nobody uses for a time is given up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpbroker.broker.consumer import Consumers
from amqpbroker.broker.lease import Lease
from amqpbroker.broker.timers import Timers
from tests.broker.clock import Clock

if TYPE_CHECKING:
    from tests.broker.client import MemoryClient


class Bench:
    """A lease of 10 s; ``ends`` are the times at which it was over."""

    def __init__(self, client: MemoryClient) -> None:
        self.clock = Clock()
        self.timers = Timers(now=self.clock)
        self.consumers = Consumers(is_single_active=False)
        self.ends: list[float] = []
        client.consume(client.declare("q"), tag="c")
        self.consumer = client.consumer("c")
        self.lease = Lease(
            self.timers, self.consumers, 10_000, lambda: self.ends.append(self.clock.now)
        )

    def advance_to(self, now: float) -> None:
        while self.clock.now < now:
            self.clock.now += 1
            self.timers.fire()


@pytest.fixture
def bench(client: MemoryClient) -> Bench:
    return Bench(client)


def test_it_ends_without_use(bench: Bench) -> None:
    bench.advance_to(50)
    assert bench.ends == [10]
    assert len(bench.timers) == 0


def test_use_starts_it_anew(bench: Bench) -> None:
    bench.advance_to(5)
    bench.lease.renew()
    bench.advance_to(9)
    bench.lease.renew()
    assert len(bench.timers) == 1
    bench.advance_to(50)
    assert bench.ends == [19]


def test_it_does_not_run_while_there_are_consumers(bench: Bench) -> None:
    bench.consumers.add(bench.consumer)
    bench.advance_to(30)
    assert len(bench.timers) == 0
    bench.consumers.remove(bench.consumer)
    bench.lease.renew()
    bench.advance_to(50)
    assert bench.ends == [40]


def test_a_consumer_that_comes_and_goes_starts_it_anew(bench: Bench) -> None:
    bench.advance_to(4)
    bench.consumers.add(bench.consumer)
    bench.advance_to(6)
    bench.consumers.remove(bench.consumer)
    bench.lease.renew()
    bench.advance_to(50)
    assert bench.ends == [16]


def test_one_that_is_stopped_does_not_end(bench: Bench) -> None:
    bench.lease.stop()
    bench.lease.stop()
    bench.advance_to(50)
    assert bench.ends == []
