"""Qos, consume, cancel, get and recover as the domain sees them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest
from pamqp import commands

from amqpbroker.broker.names import REPLY_TO
from tests.amqp_bytes import command_frame

if TYPE_CHECKING:
    from tests.broker.client import MemoryClient

ABC = [b"a", b"b", b"c"]


def test_qos_counts_for_consumers_to_come(client: MemoryClient) -> None:
    client.declare("q")
    before = client.consume("q")
    client.qos(7)
    after = client.consume("q")
    found = [client.consumer(tag).prefetch_count for tag in (before, after)]
    assert found == [0, 7]


def test_qos_of_one_kind_ends_the_other(client: MemoryClient) -> None:
    client.qos(1, is_global=True)
    client.consume(client.declare("q"))
    client.publish("q", *ABC)
    assert client.messages() == [b"a"]
    client.send_command(commands.Basic.Qos(prefetch_count=5))
    client.read(commands.Basic.QosOk)
    assert client.messages() == [b"b", b"c"]
    assert client.channel().prefetch_count_global == 0


def test_consume_ok_comes_before_the_first_delivery(client: MemoryClient) -> None:
    client.publish(client.declare("q"), *ABC)
    client.consume("q")
    assert client.messages() == ABC


def test_a_consumer_without_ack_owes_nothing(client: MemoryClient) -> None:
    client.qos(1)
    tag = client.consume(client.declare("q"), no_ack=True)
    client.publish("q", *ABC)
    assert client.messages() == ABC
    assert client.consumer(tag).prefetch_count == 0
    assert client.queue("q").unsettled_count == 0
    assert not client.channel().unsettled


def test_a_tag_in_use_is_a_hard_error(client: MemoryClient) -> None:
    client.consume(client.declare("q"), tag="t")
    client.send_command(commands.Basic.Consume(queue="q", consumer_tag="t"))
    client.expect_connection_error(530, "NOT_ALLOWED - attempt to reuse consumer tag 't'", (60, 20))
    assert not len(client.queue("q").consumers)


def test_a_refused_consumer_leaves_nothing(client: MemoryClient) -> None:
    client.declare("q")
    channel = client.channel()
    command = commands.Basic.Consume(queue="q", consumer_tag="t")
    client.send(command_frame(command, 1, {"x-priority": ("S", b"high")}))
    assert client.read(commands.Channel.Close).reply_code == 406
    assert not channel.consumers
    assert not client.queue("q").had_consumer


@pytest.mark.parametrize("arguments", [{}, {"x-single-active-consumer": ("t", True)}])
def test_exclusive_needs_a_queue_without_consumers(
    client: MemoryClient, other: MemoryClient, arguments: dict[str, tuple[str, bool]]
) -> None:
    client.declare("q", arguments)
    if not arguments:
        client.consume("q")
    other.send_command(commands.Basic.Consume(queue="q", exclusive=True))
    text = "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use"
    other.expect_channel_error(403, text, (60, 20))


def test_cancelling_what_is_unknown_is_fine(client: MemoryClient) -> None:
    client.cancel("no")


def test_nowait_means_silence(client: MemoryClient) -> None:
    client.declare("q")
    client.send_command(commands.Basic.Consume(queue="q", consumer_tag="t", nowait=True))
    assert client.consumer("t")
    client.send_command(commands.Basic.Cancel("t", nowait=True))
    assert client.is_silent
    assert not client.channel().consumers


def test_the_last_to_cancel_takes_an_auto_delete_queue_along(client: MemoryClient) -> None:
    tag = client.consume(client.declare("q", auto_delete=True))
    client.publish("q", *ABC)
    client.messages()
    client.cancel(tag)
    assert "q" not in client.broker.vhosts["/"].queues
    client.ack(3, multiple=True)
    client.qos(1)


def test_cancelling_hands_on_what_was_ready(client: MemoryClient, other: MemoryClient) -> None:
    client.declare("q")
    client.qos(1)
    tag = client.consume("q", {"x-priority": ("I", 5)})
    client.publish("q", *ABC)
    other.consume("q")
    assert client.messages() == [b"a"]
    assert other.messages() == [b"b", b"c"]
    client.cancel(tag)
    client.publish("q", b"d")
    assert other.messages() == [b"d"]


def test_a_reply_consumer_is_one_and_never_acks(client: MemoryClient) -> None:
    client.consume(REPLY_TO, no_ack=True)
    client.send_command(commands.Basic.Consume(queue=REPLY_TO, no_ack=True))
    client.expect_channel_error(406, "PRECONDITION_FAILED - reply consumer already set", (60, 20))
    client.open_channel()
    client.send_command(commands.Basic.Consume(queue=REPLY_TO))
    text = "PRECONDITION_FAILED - reply consumer cannot acknowledge"
    client.expect_channel_error(406, text, (60, 20))


def test_get_shares_tags_with_deliveries(client: MemoryClient) -> None:
    client.publish(client.declare("q"), *ABC)
    first = client.get("q")
    client.qos(1)
    client.consume("q")
    assert first is not None
    assert (first.tag, client.deliver().tag) == (1, 2)


def test_recover_without_requeue_is_not_implemented(client: MemoryClient) -> None:
    client.send_command(commands.Basic.Recover(requeue=False))
    client.expect_connection_error(540, "NOT_IMPLEMENTED - requeue=false", (60, 110))


def test_recover_async_has_no_answer(client: MemoryClient) -> None:
    client.consume(client.declare("q"))
    client.publish("q", b"a")
    assert client.messages() == [b"a"]
    client.send(b"\x01\x00\x01\x00\x00\x00\x05" + struct.pack(">HHB", 60, 100, 1) + b"\xce")
    assert client.messages() == [b"a"]
