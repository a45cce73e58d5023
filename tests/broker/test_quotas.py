"""Limits of vhosts and users: missing and negative ones are none."""

from __future__ import annotations

import pytest
from pamqp import commands

from amqpbroker.broker.quotas import MAX_QUEUES, check_new_queue
from amqpbroker.broker.vhost import VHost
from amqpbroker.errors import SoftError
from tests.broker.client import MemoryClient, connect, make_broker


@pytest.mark.parametrize("limits", [{}, {MAX_QUEUES: -1}, {MAX_QUEUES: 1}])
def test_below_the_limit_a_queue_may_come(limits: dict[str, int]) -> None:
    vhost = VHost("v")
    vhost.limits = limits
    check_new_queue(vhost, "q")


def test_at_the_limit_it_may_not() -> None:
    vhost = VHost("v")
    vhost.limits = {MAX_QUEUES: 0}
    with pytest.raises(SoftError) as caught:
        check_new_queue(vhost, "q")
    text = "PRECONDITION_FAILED - cannot declare queue 'q': queue limit in vhost 'v' (0) is reached"
    assert caught.value.reply_text == text


def test_what_exists_may_be_declared_again() -> None:
    broker = make_broker()
    client: MemoryClient = connect(broker)
    client.declare("q")
    broker.vhosts["/"].limits = {MAX_QUEUES: 1}
    client.declare("q")


def test_a_channel_has_no_more_consumers_than_it_may() -> None:
    client = connect(make_broker(consumer_max_per_channel=1))
    client.consume(client.declare("q"))
    client.send_command(commands.Basic.Consume(queue="q"))
    client.read_close(530)


def test_a_node_has_no_more_channels_than_it_may() -> None:
    broker = make_broker(channel_max_per_node=1, cluster_name="rabbit@here")
    client = connect(broker)
    broker.sessions.add(client.session)
    client.send_command(commands.Channel.Open(), 2)
    assert "node 'rabbit@here' has reached" in client.read_close(530)[1]


def test_a_consumer_without_qos_gets_the_default_prefetch() -> None:
    client = connect(make_broker(default_consumer_prefetch=2))
    client.consume(client.declare("q"))
    client.publish("q", b"1", b"2", b"3")
    assert client.messages() == [b"1", b"2"]
