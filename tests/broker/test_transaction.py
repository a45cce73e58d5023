"""Transactions: nothing before commit, nothing after rollback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pamqp import commands

from amqpbroker.broker.names import REPLY_TO
from tests.amqp_bytes import command_frame, content_frames, properties

if TYPE_CHECKING:
    from tests.broker.client import MemoryClient

THREE = [b"1", b"2", b"3"]


@pytest.fixture
def client(client: MemoryClient) -> MemoryClient:
    """A client with queue q and a transactional channel 1."""
    client.declare("q")
    client.call(commands.Tx.Select(), commands.Tx.SelectOk)
    return client


def commit(client: MemoryClient) -> None:
    client.call(commands.Tx.Commit(), commands.Tx.CommitOk)


def rollback(client: MemoryClient) -> None:
    client.call(commands.Tx.Rollback(), commands.Tx.RollbackOk)


def lend(client: MemoryClient, other: MemoryClient) -> str:
    """Have three messages of q on loan to the transactional channel."""
    tag = client.consume("q")
    other.publish("q", *THREE)
    assert client.messages() == THREE
    return tag


def test_publishes_wait_for_the_commit(client: MemoryClient, other: MemoryClient) -> None:
    client.publish("q", *THREE)
    assert other.get("q") is None
    commit(client)
    assert other.get_all("q") == THREE


def test_names_are_looked_up_at_the_commit(client: MemoryClient, other: MemoryClient) -> None:
    client.declare("bound")
    client.bind("bound", "amq.direct", "k")
    client.publish("later", b"1")
    client.publish("q", b"2")
    client.publish("k", b"3", exchange="amq.direct")
    other.declare("later")
    for name in ("q", "bound"):
        other.delete(name)
        other.declare(name)
    other.declare("late")
    other.bind("late", "amq.direct", "k")
    commit(client)
    assert [other.get_all(name) for name in ("later", "q", "bound", "late")] == [
        [b"1"],
        [b"2"],
        [b"3"],
        [],
    ]


def test_a_rollback_drops_publishes(client: MemoryClient) -> None:
    client.publish("q", *THREE)
    rollback(client)
    commit(client)
    assert client.get("q") is None


def test_acks_count_at_commit(client: MemoryClient, other: MemoryClient) -> None:
    tag = lend(client, other)
    client.ack(2, multiple=True)
    assert client.queue("q").unsettled_count == 3
    assert client.consumer(tag).unsettled_count == 3
    commit(client)
    assert client.queue("q").unsettled_count == 1
    assert client.consumer(tag).unsettled_count == 1


def test_settles_in_a_row_count_as_one(client: MemoryClient, other: MemoryClient) -> None:
    client.declare("dead")
    dead = {"x-dead-letter-exchange": ("S", b""), "x-dead-letter-routing-key": ("S", b"dead")}
    client.declare("r", dead)
    client.qos(2)
    for tag in ("b", "a"):
        client.consume("r", tag=tag)
    other.publish("r", *[b"%d" % number for number in range(1, 9)])
    assert client.messages() == [b"1", b"2", b"3", b"4"]
    for number in (4, 1, 3, 2):
        client.reject(number, requeue=False)
    client.send_command(commands.Tx.Commit())
    tags = [client.deliver().command["consumer_tag"] for _ in range(4)]
    assert tags == ["a", "a", "b", "b"]
    client.read(commands.Tx.CommitOk)
    assert other.get_all("dead") == [b"2", b"4", b"1", b"3"]


def test_a_rollback_makes_acks_undone_but_redelivers_nothing(
    client: MemoryClient, other: MemoryClient
) -> None:
    lend(client, other)
    client.ack(2)
    client.nack(1)
    rollback(client)
    assert client.is_silent
    assert list(client.channel().unsettled) == [1, 2, 3]
    client.ack(3, multiple=True)
    commit(client)
    assert client.queue("q").unsettled_count == 0


def test_a_delivery_is_settled_once_per_transaction(
    client: MemoryClient, other: MemoryClient
) -> None:
    lend(client, other)
    client.ack(1)
    client.ack(1)
    assert client.read(commands.Channel.Close).reply_code == 406


@pytest.mark.parametrize("tags", [(1, 2, 9), (1, 1)])
def test_a_channel_that_fails_settles_nothing(
    client: MemoryClient, other: MemoryClient, tags: tuple[int, ...]
) -> None:
    lend(client, other)
    client.send(b"".join(command_frame(commands.Basic.Ack(tag), 1) for tag in tags))
    assert client.read(commands.Channel.Close).reply_code == 406
    assert other.get_all("q") == THREE


@pytest.mark.parametrize("end", ["close_channel", "close"])
def test_a_channel_that_closes_drops_its_transaction(
    client: MemoryClient, other: MemoryClient, end: str
) -> None:
    lend(client, other)
    client.ack(2, multiple=True)
    client.publish("q", b"4")
    getattr(client, end)()
    assert client.queue("q").unsettled_count == 0
    assert other.get_all("q") == THREE


def test_requeueing_waits_for_the_commit(client: MemoryClient, other: MemoryClient) -> None:
    lend(client, other)
    client.nack(1)
    client.reject(2, requeue=False)
    assert client.is_silent
    client.send_command(commands.Tx.Commit())
    assert client.deliver().body == b"1"
    client.read(commands.Tx.CommitOk)


def test_returns_come_before_commit_ok(client: MemoryClient) -> None:
    publish = commands.Basic.Publish(routing_key="nowhere", mandatory=True)
    client.send(command_frame(publish, 1) + content_frames(1, b"x", bytes(2)))
    assert client.is_silent
    client.send_command(commands.Tx.Commit())
    assert client.read_message(commands.Basic.Return).body == b"x"
    client.read(commands.Tx.CommitOk)


def test_a_queue_that_is_gone_at_commit_gets_nothing(
    client: MemoryClient, other: MemoryClient
) -> None:
    client.declare("r")
    client.publish("q", b"1")
    client.publish("r", b"2")
    other.delete("q")
    commit(client)
    other.declare("q")
    assert other.get("q") is None
    assert other.get_all("r") == [b"2"]


def test_a_reply_does_not_reach_a_channel_that_has_closed(
    client: MemoryClient, other: MemoryClient
) -> None:
    other.consume(REPLY_TO, no_ack=True)
    other.publish("q", b"request", header=properties(reply_to=REPLY_TO))
    request = client.get("q")
    assert request is not None
    client.publish(str(request.properties.reply_to), b"late")
    other.close_channel()
    commit(client)
    assert other.is_silent


def test_a_refused_message_makes_the_commit_partial(
    client: MemoryClient, other: MemoryClient
) -> None:
    arguments = {"x-max-length": ("I", 1), "x-overflow": ("S", "reject-publish")}
    other.declare("r", arguments)
    lend(client, other)
    client.publish("r", b"1", b"2")
    client.ack(1)
    client.send_command(commands.Tx.Commit())
    close = client.read(commands.Channel.Close)
    assert (close.reply_code, close.reply_text) == (
        406,
        "PRECONDITION_FAILED - partial tx completion",
    )
    assert other.get_all("r") == [b"1"]
    assert other.get_all("q") == THREE[1:]


def test_a_commit_of_nothing_is_fine(client: MemoryClient) -> None:
    commit(client)
    rollback(client)
