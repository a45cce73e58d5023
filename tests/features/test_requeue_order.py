"""Where requeued messages go: back to their original place (FEATURES A6.9, A6.18, T25)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pamqp import commands

if TYPE_CHECKING:
    from tests.features.conftest import Connect
    from tests.raw_client import RawClient

BODIES = [b"%d" % number for number in range(1, 9)]


@pytest.fixture
def held(client: RawClient, queue: str) -> RawClient:
    """A client that holds messages 1 to 4 of the queue's 8."""
    client.publish(queue, *BODIES)
    for _ in range(4):
        client.get(queue, no_ack=False)
    return client


@pytest.mark.parametrize("order", [(1, 2, 3, 4), (4, 3, 2, 1), (3, 1, 4, 2)])
def test_single_nacks_in_any_order_keep_the_order(
    held: RawClient, queue: str, order: tuple[int, ...]
) -> None:
    for tag in order:
        held.nack(tag)
    assert held.get_all(queue) == BODIES


def test_a_multiple_nack_keeps_the_order(held: RawClient, queue: str) -> None:
    held.nack(3, multiple=True)
    assert held.get_all(queue) == [b"1", b"2", b"3", *BODIES[4:]]


def test_a_reject_in_the_middle_goes_before_later_messages(held: RawClient, queue: str) -> None:
    held.reject(3)
    held.publish(queue, b"9")
    assert held.get_all(queue) == [b"3", *BODIES[4:], b"9"]


def test_recover_keeps_the_order(held: RawClient, queue: str) -> None:
    held.call(commands.Basic.Recover(True), commands.Basic.RecoverOk)
    assert held.get_all(queue) == BODIES


def test_closing_the_channel_keeps_the_order(held: RawClient, queue: str) -> None:
    held.close_channel()
    held.open_channel()
    assert held.get_all(queue) == BODIES


def test_requeued_messages_go_between_ready_ones(client: RawClient, queue: str) -> None:
    # Two holders with interleaved messages: each gives back its own at another time.
    client.open_channel(2)
    client.publish(queue, *BODIES)
    for channel in (1, 2, 1, 2):
        client.get(queue, no_ack=False, channel=channel)
    client.nack(1)
    client.nack(2, channel=2)
    client.nack(2)
    client.nack(1, channel=2)
    assert client.get_all(queue) == BODIES


def test_only_requeued_messages_are_flagged(held: RawClient, queue: str) -> None:
    held.nack(4, multiple=True)
    flags = [message.redelivered for _ in BODIES if (message := held.get(queue))]
    assert flags == [True] * 4 + [False] * 4


def test_the_flag_stays_through_a_second_requeue(client: RawClient, queue: str) -> None:
    client.publish(queue, b"one")
    for _ in range(3):
        message = client.get(queue, no_ack=False)
        assert message is not None
        client.nack(message.tag)
    message = client.get(queue)
    assert message is not None
    assert message.redelivered


def test_a_lone_consumer_gets_its_requeued_message_next(client: RawClient, queue: str) -> None:
    client.call(commands.Basic.Qos(prefetch_count=1), commands.Basic.QosOk)
    client.publish(queue, *BODIES[:3])
    client.consume(queue)
    client.nack(client.deliver().tag)
    message = client.deliver()
    assert (message.body, message.redelivered) == (b"1", True)
    client.ack(message.tag)
    assert client.deliver().body == b"2"


def test_another_connections_messages_come_back_in_place(connect: Connect, name: str) -> None:
    # A6.18
    gone, other = connect(), connect()
    other.declare(name)
    other.publish(name, *BODIES)
    other.counts(name)
    for _ in range(3):
        gone.get(name, no_ack=False)
    assert [m.body for _ in range(2) if (m := other.get(name, no_ack=False))] == [b"4", b"5"]
    gone.close_connection()
    other.nack(1)
    assert other.get_all(name) == [b"1", b"2", b"3", b"4", b"6", b"7", b"8"]


def test_a_long_shuffle_keeps_the_order(client: RawClient, queue: str) -> None:
    bodies = [b"%d" % number for number in range(300)]
    client.publish(queue, *bodies)
    client.call(commands.Basic.Qos(prefetch_count=100), commands.Basic.QosOk)
    client.consume(queue, tag="mine")
    client.delivers(100)
    client.call(commands.Basic.Cancel("mine"), commands.Basic.CancelOk)
    for tag in sorted(range(1, 101), key=lambda tag: tag * 37 % 101):
        client.nack(tag)
    assert client.get_all(queue) == bodies
