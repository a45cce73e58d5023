"""Limits of vhosts and users: missing and negative ones are none."""

from __future__ import annotations

import pytest
from pamqp import commands

from amqpbroker.broker.quotas import MAX_CONNECTIONS, MAX_QUEUES, check_new_queue
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


def test_counts_follow_what_is_open() -> None:
    broker = make_broker()
    one, two = connect(broker, 1, 2), connect(broker)
    counts = broker.counts
    assert (counts.connections_of_vhost["/"], counts.connections_of_user["guest"]) == (2, 2)
    assert (counts.channel_count, counts.channels_of_user["guest"]) == (3, 3)
    one.close_channel(2)
    two.send_command(commands.Basic.Get(queue="nobody"))
    two.expect_channel_error(404, "NOT_FOUND - no queue 'nobody' in vhost '/'", (60, 70))
    assert counts.channel_count == 1
    one.close_connection()
    two.close()
    two.close()
    assert not counts.connections_of_vhost
    assert not counts.connections_of_user
    assert (counts.channel_count, dict(counts.channels_of_user)) == (0, {})


def test_who_was_refused_is_not_counted() -> None:
    broker = make_broker()
    broker.vhosts["/"].limits = {MAX_CONNECTIONS: 1}
    one = connect(broker)
    for _ in range(2):
        refused = MemoryClient(broker)
        refused.login()
        refused.tune_ok()
        refused.send_command(commands.Connection.Open("/"), 0)
        refused.read_close(530)
    one.close()
    connect(broker)
