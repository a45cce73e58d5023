"""A queue between publishers and consumers: order, hand-over, counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pamqp import commands

if TYPE_CHECKING:
    from tests.broker.client import MemoryClient

FIVE = [b"1", b"2", b"3", b"4", b"5"]


def counts(client: MemoryClient, queue: str) -> tuple[int, int]:
    """Return (ready, unsettled)."""
    found = client.queue(queue)
    return len(found.ready), found.unsettled_count


def test_messages_wait_in_order(client: MemoryClient) -> None:
    client.publish(client.declare("q"), *FIVE)
    assert counts(client, "q") == (5, 0)
    assert client.get_all("q") == FIVE
    assert counts(client, "q") == (0, 0)


def test_a_ready_consumer_gets_messages_at_once(client: MemoryClient) -> None:
    client.consume(client.declare("q"))
    client.publish("q", *FIVE)
    assert counts(client, "q") == (0, 5)
    assert client.messages() == FIVE


def test_messages_of_a_run_beyond_the_prefetch_stay_in_order(client: MemoryClient) -> None:
    client.qos(2)
    client.consume(client.declare("q"))
    client.publish("q", *FIVE)
    assert counts(client, "q") == (3, 2)
    assert client.messages() == FIVE[:2]
    client.ack(2, multiple=True)
    assert client.messages() == FIVE[2:4]


def test_a_run_is_dealt_out_to_consumers_in_turn(client: MemoryClient, other: MemoryClient) -> None:
    client.consume(client.declare("q"))
    other.consume("q")
    client.publish("q", *FIVE)
    assert client.messages() == [b"1", b"3", b"5"]
    assert other.messages() == [b"2", b"4"]


def test_a_new_message_does_not_overtake_ready_ones(client: MemoryClient) -> None:
    client.qos(1)
    client.consume(client.declare("q"))
    client.publish("q", b"1", b"2")
    client.publish("q", b"3")
    for tag, body in ((1, b"1"), (2, b"2"), (3, b"3")):
        assert client.messages() == [body]
        client.ack(tag)


def test_requeued_messages_take_their_old_places(client: MemoryClient, other: MemoryClient) -> None:
    client.qos(3)
    client.consume(client.declare("q"))
    client.publish("q", *FIVE)
    client.messages()
    client.open_channel(2)
    client.nack(2)
    assert client.messages() == [b"2"]
    client.close()
    got = [other.get("q") for _ in range(5)]
    assert [message and message.body for message in got] == FIVE
    assert [message and message.redelivered for message in got] == [True] * 3 + [False] * 2


def test_purging_leaves_what_is_unsettled(client: MemoryClient) -> None:
    client.qos(2)
    client.consume(client.declare("q"))
    client.publish("q", *FIVE)
    assert client.queue("q").purge() == 3
    assert counts(client, "q") == (0, 2)
    client.nack(2, multiple=True)
    assert client.messages() == [b"1", b"2", b"1", b"2"]


@pytest.mark.parametrize("no_ack", [False, True])
def test_get_takes_the_head(client: MemoryClient, no_ack: bool) -> None:
    client.publish(client.declare("q"), *FIVE)
    message = client.get("q", no_ack=no_ack)
    assert message is not None
    assert message.body == b"1"
    assert dict(message.command)["message_count"] == 4
    assert counts(client, "q") == (4, 0 if no_ack else 1)


def test_settling_after_the_queue_is_gone_is_fine(
    client: MemoryClient, other: MemoryClient
) -> None:
    client.consume(client.declare("q"))
    client.publish("q", *FIVE)
    queue = client.queue("q")
    client.messages()
    other.delete("q")
    assert client.read(commands.Basic.Cancel)
    client.ack(1)
    client.nack(2)
    client.reject(3, requeue=False)
    client.close()
    assert queue.unsettled_count == 0
    assert not queue.ready


def test_a_queue_of_the_same_name_does_not_inherit_deliveries(client: MemoryClient) -> None:
    client.declare("q")
    client.publish("q", b"old")
    client.get("q", no_ack=False)
    client.delete("q")
    client.declare("q")
    client.nack(1)
    assert counts(client, "q") == (0, 0)


def test_a_single_active_consumer_is_followed_by_the_next(
    client: MemoryClient, other: MemoryClient
) -> None:
    client.declare("q", {"x-single-active-consumer": ("t", True)})
    client.qos(1)
    tag = client.consume("q")
    other.consume("q")
    client.publish("q", b"1", b"2")
    assert other.is_silent
    assert client.messages() == [b"1"]
    client.cancel(tag)
    assert other.messages() == [b"2"]
    client.close()
    assert other.messages() == [b"1"]


def test_an_exclusive_consumer_lets_go_when_it_leaves(
    client: MemoryClient, other: MemoryClient
) -> None:
    tag = client.consume(client.declare("q"), exclusive=True)
    assert client.queue("q").exclusive_consumer is client.consumer(tag)
    other.send_command(commands.Basic.Consume(queue="q"))
    assert other.read(commands.Channel.Close).reply_code == 403
    client.close_channel()
    assert client.queue("q").exclusive_consumer is None
    client.open_channel()
    client.consume("q", exclusive=True)


def test_auto_delete_waits_for_the_last_consumer(client: MemoryClient, other: MemoryClient) -> None:
    client.declare("q", auto_delete=True)
    assert not client.queue("q").is_abandoned
    tag = client.consume("q")
    other.consume("q")
    client.cancel(tag)
    assert not client.queue("q").is_abandoned
    other.close()
    assert "q" not in client.broker.vhosts["/"].queues


def test_two_channels_of_a_connection_leave_an_auto_delete_queue_at_once(
    client: MemoryClient, other: MemoryClient
) -> None:
    client.open_channel(2)
    client.declare("q", auto_delete=True)
    for channel in (1, 2):
        client.consume("q", channel=channel)
    client.publish("q", *FIVE)
    client.close()
    assert not client.broker.vhosts["/"].queues
    assert other.get(other.declare("q")) is None
