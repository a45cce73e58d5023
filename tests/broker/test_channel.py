"""What a channel has on loan, what a tag means, and that every path keeps the counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pamqp import commands

from amqpbroker.errors import SoftError
from tests.amqp_bytes import command_frame

if TYPE_CHECKING:
    from tests.broker.client import MemoryClient

FOUR = [b"1", b"2", b"3", b"4"]


@pytest.fixture
def tag(client: MemoryClient) -> str:
    """A consumer that has four messages of queue q on loan."""
    tag = client.consume(client.declare("q"))
    client.publish("q", *FOUR)
    client.messages()
    return tag


def counts(client: MemoryClient, tag: str | None = None) -> tuple[int, ...]:
    """Return the unsettled deliveries of queue, channel, and consumer."""
    found: tuple[int, ...] = (client.queue("q").unsettled_count, client.channel().unsettled_count)
    return found if tag is None else (*found, client.consumer(tag).unsettled_count)


def held(client: MemoryClient) -> list[int]:
    return list(client.channel().unsettled)


def taken(client: MemoryClient, tag: int, multiple: bool) -> list[int]:
    return [delivery.tag for delivery in client.channel().take(tag, multiple)]


@pytest.mark.usefixtures("tag")
def test_a_tag_means_one_delivery(client: MemoryClient) -> None:
    assert taken(client, 3, False) == [3]
    assert held(client) == [1, 2, 4]


@pytest.mark.usefixtures("tag")
def test_multiple_means_all_up_to_a_tag(client: MemoryClient) -> None:
    assert taken(client, 2, False) == [2]
    assert taken(client, 3, True) == [1, 3]
    assert held(client) == [4]


@pytest.mark.usefixtures("tag")
def test_multiple_zero_means_all(client: MemoryClient) -> None:
    assert taken(client, 0, True) == [1, 2, 3, 4]
    assert taken(client, 0, True) == []


@pytest.mark.usefixtures("tag")
@pytest.mark.parametrize(("tag_sent", "multiple"), [(0, False), (5, False), (5, True), (2, True)])
def test_a_tag_must_be_outstanding(client: MemoryClient, tag_sent: int, multiple: bool) -> None:
    taken(client, 2, False)
    with pytest.raises(SoftError, match=f"unknown delivery tag {tag_sent}"):
        taken(client, tag_sent, multiple)
    assert held(client) == [1, 3, 4]


@pytest.mark.usefixtures("tag")
def test_acks_before_an_unknown_tag_count(client: MemoryClient, other: MemoryClient) -> None:
    frames = [command_frame(commands.Basic.Ack(number), 1) for number in (1, 2, 9, 3)]
    client.send(b"".join(frames))
    client.expect_channel_error(406, "PRECONDITION_FAILED - unknown delivery tag 9", (60, 80))
    assert other.get_all("q") == [b"3", b"4"]


def test_every_way_to_settle_keeps_the_counts(client: MemoryClient, tag: str) -> None:
    assert counts(client, tag) == (4, 4, 4)
    client.ack(1)
    assert counts(client, tag) == (3, 3, 3)
    client.reject(2, requeue=False)
    assert counts(client, tag) == (2, 2, 2)
    client.nack(4, multiple=True)
    assert counts(client, tag) == (2, 2, 2)
    assert client.messages() == [b"3", b"4"]
    client.ack(0, multiple=True)
    assert counts(client, tag) == (0, 0, 0)


def test_cancelling_leaves_the_deliveries_with_the_channel(client: MemoryClient, tag: str) -> None:
    client.cancel(tag)
    assert counts(client) == (4, 4)
    client.nack(0, multiple=True)
    assert counts(client) == (0, 0)
    assert client.get_all("q") == FOUR


def test_deliveries_of_get_do_not_count_against_the_global_prefetch(client: MemoryClient) -> None:
    client.publish(client.declare("q"), *FOUR)
    client.qos(2, is_global=True)
    for _ in range(3):
        client.get("q", no_ack=False)
    assert counts(client) == (3, 0)
    client.consume("q")
    assert client.messages() == [b"4"]
    client.ack(0, multiple=True)
    assert counts(client) == (0, 0)


def test_recover_puts_everything_back(client: MemoryClient, tag: str) -> None:
    client.send_command(commands.Basic.Recover(requeue=True))
    assert [client.deliver().redelivered for _ in range(4)] == [True] * 4
    client.read(commands.Basic.RecoverOk)
    assert counts(client, tag) == (4, 4, 4)
    assert held(client) == [5, 6, 7, 8]


def test_deleting_the_queue_keeps_the_counts_of_the_channel(client: MemoryClient, tag: str) -> None:
    client.send_command(commands.Queue.Delete(queue="q"))
    client.read(commands.Queue.DeleteOk)
    assert client.read(commands.Basic.Cancel).consumer_tag == tag
    channel = client.channel()
    assert not channel.consumers
    assert channel.unsettled_count == 4
    client.ack(4, multiple=True)
    assert channel.unsettled_count == 0


def test_raising_the_prefetch_of_all_lets_consumers_go_on(client: MemoryClient) -> None:
    client.qos(1, is_global=True)
    client.consume(client.declare("q"))
    client.publish("q", *FOUR)
    assert client.messages() == [b"1"]
    client.qos(3, is_global=True)
    assert client.messages() == [b"2", b"3"]
    client.qos(0, is_global=True)
    assert client.messages() == [b"4"]


def test_lowering_the_prefetch_of_all_takes_nothing_back(client: MemoryClient) -> None:
    client.qos(3, is_global=True)
    client.consume(client.declare("q"))
    client.publish("q", *FOUR)
    client.messages()
    client.qos(1, is_global=True)
    client.ack(2, multiple=True)
    assert client.is_silent
    client.ack(3)
    assert client.messages() == [b"4"]


def test_an_ack_wakes_any_consumer_under_the_global_prefetch(client: MemoryClient) -> None:
    client.qos(1, is_global=True)
    for name in ("a", "b"):
        client.consume(client.declare(name))
    client.publish("a", b"a")
    client.publish("b", b"b")
    assert client.messages() == [b"a"]
    client.ack(1)
    assert client.messages() == [b"b"]


def test_queues_share_the_global_prefetch_fairly(client: MemoryClient) -> None:
    client.qos(1, is_global=True)
    for name in ("a", "b", "c"):
        client.publish(client.declare(name), *[name.encode()] * 3)
    for name in ("a", "b", "c"):
        client.send_command(commands.Basic.Consume(queue=name, nowait=True))
    order = b""
    for number in range(1, 10):
        order += b"".join(client.messages())
        client.ack(number)
    assert sorted(order) == sorted(b"abcabcabc")
    assert set(order[1:4]) == set(order[4:7]) == set(b"abc")


def test_the_global_prefetch_blocks_consumers_that_do_not_ack_too(client: MemoryClient) -> None:
    client.qos(1, is_global=True)
    client.consume(client.declare("q"))
    client.consume(client.declare("r"), no_ack=True)
    client.publish("q", b"1")
    client.publish("r", b"2")
    assert client.messages() == [b"1"]
    client.ack(1)
    assert client.messages() == [b"2"]


@pytest.mark.usefixtures("tag")
def test_closing_gives_everything_back(client: MemoryClient, other: MemoryClient) -> None:
    channel = client.channel()
    client.close_channel()
    assert not channel.consumers
    assert not channel.unsettled
    assert channel.unsettled_count == client.queue("q").unsettled_count == 0
    assert other.get_all("q") == FOUR


@pytest.mark.usefixtures("tag")
def test_the_number_is_free_at_once(client: MemoryClient) -> None:
    client.close_channel()
    client.open_channel()
    assert not client.channel().unsettled
    assert client.channel().last_tag == 0


def test_an_empty_name_means_the_queue_declared_last(client: MemoryClient) -> None:
    with pytest.raises(SoftError, match="no previously declared queue"):
        client.channel().queue_name("")
    name = client.declare()
    assert client.channel().queue_name("") == name
    assert client.channel().queue_name("q") == "q"
