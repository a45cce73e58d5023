"""A queue has a dispatch only if it asks for one, and then tells it of every loan."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from amqpbroker.broker.message import Delivery
    from amqpbroker.broker.ready import Ready
    from tests.broker.client import MemoryClient


class Recorder:
    """A dispatch that delivers one by one and writes down what it is told."""

    def __init__(self, client: MemoryClient) -> None:
        self.queue = client.queue("q")
        self.seen: list[object] = []

    def deliver(self) -> None:
        while self.queue.ready and (turn := self.queue.consumers.next()):
            position, message, is_redelivered = self.queue.ready.pop()
            self.queue.deliver_run(turn[0], position, [message], is_redelivered)

    def get(self) -> Ready | None:
        return self.queue.ready.pop() if self.queue.ready else None

    def lent(self, loans: Sequence[Delivery]) -> None:
        self.seen.append(("lent", [delivery.tag for delivery in loans]))

    def settled(self, deliveries: Iterable[Delivery]) -> None:
        self.seen.append(("settled", [delivery.tag for delivery in deliveries]))

    def consumers_changed(self) -> None:
        self.seen.append(len(self.queue.consumers))


@pytest.fixture
def recorder(client: MemoryClient) -> Recorder:
    client.declare("q")
    client.declare("other")
    recorder = Recorder(client)
    client.queue("q").dispatch = recorder
    return recorder


def test_an_ordinary_queue_has_none(client: MemoryClient) -> None:
    assert client.queue(client.declare("q")).dispatch is None


def test_it_learns_of_consumers(client: MemoryClient, recorder: Recorder) -> None:
    client.consume("q", tag="c")
    client.cancel("c")
    assert recorder.seen == [1, 0]


def test_it_learns_of_loans_and_what_becomes_of_them(
    client: MemoryClient, recorder: Recorder
) -> None:
    client.consume("q", tag="c")
    client.consume("other")
    for queue in ("q", "other", "q", "q"):
        client.publish(queue, b"x")
    client.delivers(4)
    client.ack(3, multiple=True)
    client.nack(4)
    client.deliver()
    client.reject(5, requeue=False)
    expected = [("lent", [tag]) for tag in (1, 3, 4)]
    assert recorder.seen[1:] == [*expected, ("settled", [1, 3]), ("lent", [5]), ("settled", [5])]


def test_get_is_a_loan_unless_it_is_settled_at_once(
    client: MemoryClient, recorder: Recorder
) -> None:
    client.publish("q", b"1", b"2")
    client.get("q")
    client.get("q", no_ack=False)
    assert recorder.seen == [("lent", [2])]
