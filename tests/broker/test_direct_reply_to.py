"""Direct reply-to: who is reached, for how long, and how much may pile up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pamqp import commands

from amqpbroker.broker.direct_reply_to import OUTGOING_SIZE_MAX
from amqpbroker.broker.names import REPLY_TO, REPLY_TO_PREFIX
from tests.amqp_bytes import properties

if TYPE_CHECKING:
    from tests.broker.client import MemoryClient


def ask(client: MemoryClient, other: MemoryClient) -> str:
    """Send a request from client to other; return where the answer goes."""
    other.declare("service")
    client.publish("service", b"request", header=properties(reply_to=REPLY_TO))
    request = other.get("service")
    assert request is not None
    reply_to = str(request.properties.reply_to)
    assert reply_to.startswith(REPLY_TO_PREFIX)
    return reply_to


def test_an_answer_goes_straight_to_the_requester(
    client: MemoryClient, other: MemoryClient
) -> None:
    tag = client.consume(REPLY_TO, no_ack=True)
    reply_to = ask(client, other)
    other.publish(reply_to, b"1", b"2")
    first, second = client.deliver(), client.deliver()
    assert (first.body, second.body) == (b"1", b"2")
    assert (first.tag, second.tag) == (1, 1)  # the next one, not used up: as on RabbitMQ
    assert dict(first.command)["consumer_tag"] == tag
    assert not first.redelivered


def test_requests_of_two_channels_do_not_share_a_reply_address(
    client: MemoryClient, other: MemoryClient
) -> None:
    client.open_channel(2)
    client.consume(REPLY_TO, no_ack=True)
    client.consume(REPLY_TO, no_ack=True, channel=2)
    other.declare("service")
    for channel in (1, 2):
        header = properties(reply_to=REPLY_TO)
        client.publish("service", b"same", header=header, channel=channel)
    for channel in (1, 2):
        request = other.get("service")
        assert request is not None
        other.publish(str(request.properties.reply_to), b"answer")
        assert client.messages(channel) == [b"answer"]


@pytest.mark.parametrize("end", ["cancel", "close_channel", "close"])
def test_a_requester_that_is_gone_gets_nothing(
    client: MemoryClient, other: MemoryClient, end: str
) -> None:
    tag = client.consume(REPLY_TO, no_ack=True)
    reply_to = ask(client, other)
    other.publish(reply_to, b"answer")
    assert client.messages() == [b"answer"]
    getattr(client, end)(*([tag] if end == "cancel" else []))
    assert not client.broker.reply_consumers
    other.publish(reply_to, b"answer")
    assert client.is_silent
    other.send_command(commands.Queue.Declare(queue=reply_to, passive=True))
    assert other.read(commands.Channel.Close).reply_code == 404


def test_a_connection_that_fails_is_forgotten(client: MemoryClient) -> None:
    client.consume(REPLY_TO, no_ack=True)
    client.send_command(commands.Basic.Qos(prefetch_size=1))
    assert client.session.is_finished is False
    assert not client.broker.reply_consumers


def test_answers_that_nobody_reads_are_dropped(client: MemoryClient, other: MemoryClient) -> None:
    client.consume(REPLY_TO, no_ack=True)
    reply_to = ask(client, other)
    body = bytes(1 << 20)
    for _ in range(12):
        other.publish(reply_to, body)
    assert client.session.wire.outgoing_size < OUTGOING_SIZE_MAX + len(body) + 10_000
    assert 8 <= len(client.messages()) < 12
    other.publish(reply_to, b"again")
    assert client.messages() == [b"again"]
