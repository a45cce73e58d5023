"""Channels and connections from open to close (FEATURES A1.13, A1.14, A1.17, A2, T16, T17)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pamqp import commands

from tests.amqp_bytes import command_frame, content_frames, longstr, method_frame

if TYPE_CHECKING:
    from tests.features.conftest import Connect
    from tests.raw_client import RawClient

CLOSE = commands.Channel.Close(200, "bye", 0, 0)


def test_open_ok_carries_an_empty_long_string(client: RawClient) -> None:
    client.send_command(commands.Channel.Open(), 2)
    answer = client.read_frame(2)
    assert answer.ids == (20, 11)
    assert answer.payload[4:] == longstr(b"")


def test_a_second_open_is_an_error(client: RawClient) -> None:
    client.send_command(commands.Channel.Open())
    client.expect_connection_error(504, "CHANNEL_ERROR - second 'channel.open' seen", (20, 10))


def test_a_method_before_open_is_an_error(client: RawClient) -> None:
    client.send_command(commands.Queue.Declare(passive=True), 2)
    client.expect_connection_error(504, "CHANNEL_ERROR - expected 'channel.open'", (50, 10))


def test_no_more_channels_than_negotiated(dial: Connect) -> None:
    client = dial()
    client.login()
    client.tune_ok(channel_max=2)
    client.open()
    client.open_channel(1)
    client.open_channel(2)
    client.send_command(commands.Channel.Open(), 3)
    text = "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)"
    client.expect_connection_error(530, text)


def test_a_thousand_channels_of_one_connection(client: RawClient) -> None:
    channels = range(2, 1002)
    client.send(b"".join(command_frame(commands.Channel.Open(), n) for n in channels))
    for channel in channels:
        client.read(commands.Channel.OpenOk, channel)
    client.send(b"".join(command_frame(CLOSE, n) for n in channels))
    for channel in channels:
        client.read(commands.Channel.CloseOk, channel)


def test_a_channel_number_is_free_at_once_after_close_ok(client: RawClient, queue: str) -> None:
    # T17: consumers, unsettled deliveries and delivery tags of the old channel are gone.
    client.publish(queue, b"one")
    for _ in range(3):
        client.consume(queue, tag="same-tag")
        assert client.deliver().tag == 1
        client.close_channel()
        client.open_channel()
    assert client.counts(queue) == (1, 0)


def test_close_and_reopen_may_be_pipelined_after_close_ok(client: RawClient) -> None:
    client.send_command(CLOSE)
    client.read(commands.Channel.CloseOk)
    queue = commands.Queue.Declare(exclusive=True)
    client.send(command_frame(commands.Channel.Open(), 1) + command_frame(queue, 1))
    client.read(commands.Channel.OpenOk)
    client.read(commands.Queue.DeclareOk)


def test_closing_a_channel_requeues_before_close_ok(client: RawClient, queue: str) -> None:
    client.open_channel(2)
    client.publish(queue, b"one", b"two")
    client.consume(queue)
    client.delivers(2)
    client.close_channel()
    assert client.counts(queue, channel=2) == (2, 0)


def test_all_frames_until_close_ok_are_dropped_after_a_channel_error(
    client: RawClient, queue: str, name: str
) -> None:
    # A2.3, T16: what the client had under way must not turn into another error.
    publish = command_frame(commands.Basic.Publish(routing_key=queue), 1)
    late = publish + content_frames(1, b"late", bytes(2))
    bad_ack = command_frame(commands.Basic.Ack(99), 1)
    missing = command_frame(commands.Queue.Declare(queue=f"{name}-none", passive=True), 1)
    client.send(missing + late * 50 + bad_ack + missing)
    text = f"NOT_FOUND - no {client.resource('queue', name + '-none')}"
    client.expect_channel_error(404, text, (50, 10))
    client.open_channel()
    assert client.counts(queue) == (0, 0)


def test_a_channel_error_leaves_the_other_channels_alone(client: RawClient, queue: str) -> None:
    client.open_channel(2)
    client.send_command(commands.Basic.Ack(1), 2)
    text = "PRECONDITION_FAILED - unknown delivery tag 1"
    client.expect_channel_error(406, text, (60, 80), channel=2)
    assert client.counts(queue) == (0, 0)


def test_crossing_closes_are_both_answered(client: RawClient) -> None:
    # A2.3: the client's own close crosses the broker's.
    client.send_command(commands.Basic.Ack(1))
    client.read(commands.Channel.Close)
    client.call(CLOSE, commands.Channel.CloseOk)
    client.send_command(commands.Channel.CloseOk())
    client.open_channel()


def test_synchronous_methods_may_be_pipelined(client: RawClient, name: str) -> None:
    # A2.7
    steps = (
        commands.Queue.Declare(queue=name, exclusive=True),
        commands.Queue.Bind(queue=name, exchange="amq.direct", routing_key=name),
        commands.Basic.Qos(prefetch_count=1),
        commands.Queue.Purge(queue=name),
        commands.Queue.Delete(queue=name),
    )
    client.send(b"".join(command_frame(step, 1) for step in steps))
    client.read(commands.Queue.DeclareOk)
    client.read(commands.Queue.BindOk)
    client.read(commands.Basic.QosOk)
    client.read(commands.Queue.PurgeOk)
    client.read(commands.Queue.DeleteOk)


def test_flow_that_stays_on_is_confirmed(client: RawClient) -> None:
    # A2.5
    answer = client.call(commands.Channel.Flow(True), commands.Channel.FlowOk)
    assert answer.active is True


def test_flow_cannot_be_turned_off(client: RawClient) -> None:
    client.send_command(commands.Channel.Flow(False))
    client.expect_connection_error(540, "NOT_IMPLEMENTED - active=false", (20, 20))


def test_an_access_request_gets_ticket_1(client: RawClient) -> None:
    # A2.6
    client.send(method_frame(1, 30, 10, b"\x05/data\x1f"))
    answer = client.read_frame()
    assert (answer.ids, answer.payload[4:]) == ((30, 11), b"\x00\x01")


def test_update_secret_is_confirmed(client: RawClient) -> None:
    # A1.14
    client.send_command(commands.Connection.UpdateSecret("guest", "renewed"), 0)
    client.read(commands.Connection.UpdateSecretOk, 0)


def test_a_handshake_method_on_a_running_connection_is_an_error(client: RawClient) -> None:
    client.send_command(commands.Connection.TuneOk(1, 131072, 0), 0)
    text = "CHANNEL_ERROR - unexpected method in connection state running"
    client.expect_connection_error(504, text, (10, 31))


def test_close_while_the_broker_closes_is_answered(client: RawClient) -> None:
    # A1.13: frames after the broker's connection.close are ignored, except close and close-ok.
    client.send_command(commands.Channel.Open())
    client.read_close(504)
    client.send_command(commands.Queue.Declare(), 1)
    client.call(commands.Connection.Close(200, "", 0, 0), commands.Connection.CloseOk, 0)


def test_frames_behind_a_close_are_ignored(client: RawClient) -> None:
    close = commands.Connection.Close(200, "", 0, 0)
    garbage = command_frame(commands.Channel.Open(), 1)
    client.send(command_frame(close, 0) + garbage)
    client.read(commands.Connection.CloseOk, 0)


def test_closing_the_connection_requeues_before_close_ok(connect: Connect, name: str) -> None:
    consumer, other = connect(), connect()
    other.declare(name)
    other.publish(name, b"one", b"two", b"three")
    consumer.consume(name)
    consumer.delivers(3)
    consumer.close_connection()
    assert other.counts(name) == (3, 0)


def test_a_connection_closes_with_many_open_channels(client: RawClient) -> None:
    for channel in range(2, 50):
        client.open_channel(channel)
    client.close_connection()


@pytest.mark.parametrize("abrupt", [False, True], ids=["fin", "reset"])
def test_a_vanished_client_gives_its_deliveries_back(
    connect: Connect, name: str, abrupt: bool
) -> None:
    # A6.18
    gone, other = connect(), connect()
    other.declare(name)
    other.publish(name, b"one", b"two")
    gone.consume(name)
    gone.delivers(2)
    other.consume(name)
    if abrupt:
        gone.abort()
    else:
        gone.close()
    messages = [other.deliver(), other.deliver()]
    assert [(message.body, message.redelivered) for message in messages] == [
        (b"one", True),
        (b"two", True),
    ]
