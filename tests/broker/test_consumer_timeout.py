"""A delivery that is not settled in time costs its channel (FEATURES A6.16)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pamqp import commands

from tests.broker.client import connect, make_broker

if TYPE_CHECKING:
    from tests.broker.client import MemoryClient

TIMEOUT_S = 1800.0
TEXT = (
    "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. "
    "Timeout value used: 1800000 ms. This timeout value can be configured, "
    "see consumers doc guide to learn more"
)


def held() -> MemoryClient:
    """A client that holds one delivery."""
    client = connect(make_broker())
    client.consume(client.declare("q"))
    client.publish("q", b"1")
    assert client.deliver().body == b"1"
    return client


def look(client: MemoryClient, now: float) -> None:
    broker = client.session.broker
    broker.sessions.add(client.session)
    broker.consumer_timeouts.look(now)
    broker.flush()


def test_the_channel_is_closed_and_the_message_is_back() -> None:
    client = held()
    look(client, 0)
    look(client, TIMEOUT_S - 1)
    assert client.session.channels
    look(client, TIMEOUT_S)
    close = client.read(commands.Channel.Close)
    assert (close.reply_code, close.reply_text) == (406, TEXT)
    assert (close.class_id, close.method_id) == (0, 0)
    assert len(client.session.broker.vhosts["/"].queues["q"].ready) == 1


def test_what_is_settled_in_time_costs_nothing() -> None:
    client = held()
    look(client, 0)
    client.ack(1)
    client.publish("q", b"2")
    assert client.deliver().body == b"2"
    look(client, TIMEOUT_S)
    assert client.session.channels
    look(client, 2 * TIMEOUT_S)
    assert not client.session.channels


def test_a_channel_without_deliveries_may_idle() -> None:
    client = connect(make_broker())
    for now in range(5):
        look(client, now * TIMEOUT_S)
    assert client.session.channels
