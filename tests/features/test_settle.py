"""basic.ack, basic.nack and basic.reject (FEATURES A6.8, A6.9, T24)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pamqp import commands

if TYPE_CHECKING:
    from tests.raw_client import RawClient

ACK, REJECT, NACK = (60, 80), (60, 90), (60, 120)


def take(client: RawClient, queue: str, count: int) -> None:
    client.publish(queue, *[b"%d" % number for number in range(1, count + 1)])
    client.consume(queue)
    client.delivers(count)


def left(client: RawClient, queue: str) -> list[bytes]:
    """Close the channel and return what had not been settled."""
    client.close_channel()
    client.open_channel()
    return client.get_all(queue)


def test_ack_settles_one(client: RawClient, queue: str) -> None:
    take(client, queue, 3)
    client.ack(2)
    assert left(client, queue) == [b"1", b"3"]


def test_ack_multiple_settles_all_up_to_the_tag(client: RawClient, queue: str) -> None:
    take(client, queue, 4)
    client.ack(4)
    client.ack(2, multiple=True)
    assert left(client, queue) == [b"3"]


def test_ack_multiple_with_tag_0_settles_all(client: RawClient, queue: str) -> None:
    take(client, queue, 3)
    client.ack(0, multiple=True)
    assert left(client, queue) == []


def test_ack_multiple_with_tag_0_is_fine_with_nothing_to_settle(
    client: RawClient, queue: str
) -> None:
    # T24
    client.ack(0, multiple=True)
    client.nack(0, multiple=True)
    assert client.is_quiet(queue)


def test_nack_multiple_with_tag_0_requeues_all(client: RawClient, queue: str) -> None:
    take(client, queue, 3)
    client.nack(0, multiple=True)
    assert client.delivers(3) == [b"1", b"2", b"3"]


@pytest.mark.parametrize("command", ["reject", "nack"])
def test_without_requeue_the_message_is_dropped(
    client: RawClient, queue: str, command: str
) -> None:
    take(client, queue, 2)
    getattr(client, command)(1, requeue=False)
    assert left(client, queue) == [b"2"]


@pytest.mark.parametrize("command", ["reject", "nack"])
def test_with_requeue_the_message_comes_again(client: RawClient, queue: str, command: str) -> None:
    take(client, queue, 1)
    getattr(client, command)(1, requeue=True)
    message = client.deliver()
    assert (message.body, message.tag, message.redelivered) == (b"1", 2, True)


@pytest.mark.parametrize(
    ("command", "ids"),
    [
        (commands.Basic.Ack(7), ACK),
        (commands.Basic.Ack(7, True), ACK),
        (commands.Basic.Ack(0), ACK),
        (commands.Basic.Nack(7), NACK),
        (commands.Basic.Nack(7, True), NACK),
        (commands.Basic.Reject(7), REJECT),
    ],
    ids=["ack", "ack multiple", "ack 0", "nack", "nack multiple", "reject"],
)
def test_an_unknown_tag_is_an_error(
    client: RawClient, queue: str, command: Any, ids: tuple[int, int]
) -> None:
    # T24
    take(client, queue, 3)
    client.send_command(command)
    tag = command.delivery_tag
    text = f"PRECONDITION_FAILED - unknown delivery tag {tag}"
    client.expect_channel_error(406, text, ids)


def test_a_tag_can_be_settled_once_only(client: RawClient, queue: str) -> None:
    take(client, queue, 2)
    client.ack(1)
    client.ack(1)
    client.expect_channel_error(406, "PRECONDITION_FAILED - unknown delivery tag 1", ACK)


def test_ack_multiple_of_a_settled_tag_is_an_error(client: RawClient, queue: str) -> None:
    take(client, queue, 3)
    client.ack(3, multiple=True)
    client.ack(2, multiple=True)
    client.expect_channel_error(406, "PRECONDITION_FAILED - unknown delivery tag 2", ACK)


def test_ack_multiple_needs_its_own_tag_to_be_open(client: RawClient, queue: str) -> None:
    # Even if earlier tags are open; nothing is settled then.
    take(client, queue, 3)
    client.ack(2)
    client.ack(2, multiple=True)
    client.expect_channel_error(406, "PRECONDITION_FAILED - unknown delivery tag 2", ACK)
    client.open_channel()
    assert client.get_all(queue) == [b"1", b"3"]


def test_a_tag_of_another_channel_is_unknown(client: RawClient, queue: str) -> None:
    take(client, queue, 1)
    client.open_channel(2)
    client.ack(1, channel=2)
    text = "PRECONDITION_FAILED - unknown delivery tag 1"
    client.expect_channel_error(406, text, ACK, channel=2)
    client.ack(1)
    assert left(client, queue) == []


def test_a_tag_settled_before_the_error_stays_settled(client: RawClient, queue: str) -> None:
    take(client, queue, 3)
    client.ack(1)
    client.ack(9)
    client.expect_channel_error(406, "PRECONDITION_FAILED - unknown delivery tag 9", ACK)
    client.open_channel()
    assert client.get_all(queue) == [b"2", b"3"]


def test_acks_after_cancel_still_work(client: RawClient, queue: str) -> None:
    # T24, A6.12
    client.publish(queue, b"one", b"two")
    client.consume(queue, tag="mine")
    client.delivers(2)
    client.call(commands.Basic.Cancel("mine"), commands.Basic.CancelOk)
    client.ack(1)
    client.nack(2)
    assert client.get_all(queue) == [b"two"]


def test_ack_multiple_spans_queues(client: RawClient, name: str) -> None:
    queues = [f"{name}-{number}" for number in range(3)]
    for queue in queues:
        client.declare(queue)
        client.publish(queue, b"one")
        client.get(queue, no_ack=False)
    client.ack(2, multiple=True)
    client.close_channel()
    client.open_channel()
    assert [client.counts(queue)[0] for queue in queues] == [0, 0, 1]


def test_a_thousand_open_deliveries_settle_in_any_order(client: RawClient, queue: str) -> None:
    take(client, queue, 1000)
    for tag in (*range(1000, 500, -1), *range(1, 500, 2)):
        client.ack(tag)
    assert left(client, queue) == [b"%d" % tag for tag in range(2, 501, 2)]
