"""One connection in the domain: errors, batches, what is full, what closing gives up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pamqp import commands

from amqpbroker.broker import handlers
from amqpbroker.broker import session as session_module
from amqpbroker.broker.queue import Queue
from amqpbroker.broker.session import OUTGOING_SIZE_MAX
from amqpbroker.errors import SoftError
from amqpbroker.wire.connection import Connection, State
from tests.amqp_bytes import PROTOCOL_HEADER, command_frame, content_frames
from tests.broker.client import MemoryClient

if TYPE_CHECKING:
    import pytest

    from amqpbroker.broker.broker import Broker

BIG = bytes(100_000)
"""Some five of these fill a connection."""


def fill(client: MemoryClient, queue: str, count: int) -> None:
    client.publish(queue, *[BIG] * count)


def test_a_soft_error_closes_the_channel_only(client: MemoryClient) -> None:
    client.open_channel(2)
    client.send_command(commands.Basic.Get(queue="nowhere"))
    client.expect_channel_error(404, "NOT_FOUND - no queue 'nowhere' in vhost '/'", (60, 70))
    assert list(client.session.channels) == [2]


def test_a_hard_error_closes_everything(client: MemoryClient) -> None:
    client.send_command(commands.Basic.Qos(prefetch_size=1))
    client.expect_connection_error(540, "NOT_IMPLEMENTED - prefetch_size!=0 (1)", (60, 10))
    assert client.session.is_finished
    assert not client.session.channels


def test_a_bug_is_a_541_without_detail(
    client: MemoryClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(handlers, "handle", broken)
    client.send_command(commands.Basic.Get(queue="q"))
    client.expect_connection_error(541, "INTERNAL_ERROR - internal error", (60, 70))


def test_a_bug_in_the_wire_ends_this_connection_only(
    client: MemoryClient, other: MemoryClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(Connection, "receive_data", broken)
    client.send(b"x")
    monkeypatch.undo()
    assert client.session.is_finished
    assert client.read_close(541)[1] == "INTERNAL_ERROR - internal error"
    assert other.get(other.declare("q")) is None


def test_a_bad_protocol_header_is_answered_with_ours(broker: Broker) -> None:
    client = MemoryClient(broker)
    client.send(b"GET / HTTP/1.1\r\n")
    assert client.receive_to_end() == PROTOCOL_HEADER
    assert client.session.is_finished


def test_a_channel_close_that_crosses_ours_is_answered_at_once(client: MemoryClient) -> None:
    client.send_command(commands.Basic.Get(queue="nowhere"))
    client.read(commands.Channel.Close)
    assert client.is_silent
    client.close_channel()


def test_nothing_is_handled_on_a_connection_that_closes(client: MemoryClient) -> None:
    declare = command_frame(commands.Queue.Declare(queue="q"), 1)
    client.send(command_frame(commands.Basic.Qos(prefetch_size=1), 1) + declare)
    assert client.read_close(540)
    assert not client.broker.vhosts["/"].queues


def test_a_late_error_does_not_close_a_channel_of_a_closing_connection(
    client: MemoryClient,
) -> None:
    client.session.force_close("enough")
    client.broker.flush()
    client.read_close(320)
    client.session.fail_channel(1, SoftError(404, "x"))
    assert client.is_silent


def test_force_close_tells_a_client_why(client: MemoryClient) -> None:
    client.session.force_close("enough")
    client.broker.flush()
    client.expect_connection_error(320, "CONNECTION_FORCED - enough")


def test_force_close_hangs_up_on_a_client_in_the_handshake(broker: Broker) -> None:
    client = MemoryClient(broker)
    client.start()
    client.session.force_close("enough")
    broker.flush()
    assert client.session.is_finished
    assert client.is_silent


def test_closing_twice_is_fine(client: MemoryClient) -> None:
    client.declare("q", exclusive=True)
    client.close()
    client.close()
    assert client.session.wire.state is State.RUNNING
    assert not client.broker.vhosts["/"].queues


def test_a_batch_wakes_a_session_once(client: MemoryClient) -> None:
    wakes: list[None] = []
    client.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
    client.declare("q")
    client.session.wake = lambda: wakes.append(None)
    client.publish("q", b"1", b"2", b"3")
    assert len(wakes) == 1
    assert not client.broker.touched


def test_a_full_connection_gets_nothing_more(client: MemoryClient, other: MemoryClient) -> None:
    client.declare("q")
    client.consume("q", no_ack=True)
    fill(other, "q", 12)
    assert client.session.is_full
    assert client.session.wire.outgoing_size < OUTGOING_SIZE_MAX + len(BIG) + 200
    assert len(client.queue("q").ready) == 6
    assert client.messages() == [BIG] * 12
    assert not client.session.stalled_consumers


def test_a_full_connection_does_not_keep_others_waiting(
    client: MemoryClient, other: MemoryClient
) -> None:
    client.declare("full")
    client.declare("q")
    client.consume("full", no_ack=True)
    client.consume("q", no_ack=True)
    other.consume("q", no_ack=True)
    fill(other, "full", 6)
    other.publish("q", b"1", b"2")
    assert other.messages() == [b"1", b"2"]


def test_queues_take_turns_on_a_connection_that_is_full(
    client: MemoryClient, other: MemoryClient
) -> None:
    tags = {client.consume(client.declare(name), no_ack=True): name for name in "abc"}
    for name in "abc":
        fill(other, name, 18)
    order = []
    while not client.is_silent:
        client._waiting.clear()
        message = client.deliver()
        order.append(tags[str(message.command["consumer_tag"])])
    assert len(order) == 54
    assert set(order[:24]) == set("abc")


def test_a_stalled_consumer_that_has_left_is_forgotten(
    client: MemoryClient, other: MemoryClient
) -> None:
    client.declare("q")
    tag = client.consume("q", no_ack=True)
    fill(other, "q", 12)
    client.send_command(commands.Basic.Cancel(tag))
    assert not client.channel().blocked
    client.receive_to_end()
    assert len(client.queue("q").ready) == 6
    assert not client.session.stalled_consumers


def test_a_stalled_consumer_without_room_in_its_channel_waits_for_an_ack(
    client: MemoryClient, other: MemoryClient
) -> None:
    client.declare("q")
    client.qos(6, is_global=True)
    for tag in ("a", "b"):
        client.consume("q", tag=tag)
    fill(other, "q", 8)
    assert client.session.is_full
    client.ack(1)
    assert client.session.is_full
    assert len(client.messages()) == 7
    assert not client.session.stalled_consumers
    client.ack(2)
    assert client.messages() == [BIG]


def test_a_stalled_consumer_without_prefetch_left_waits_for_an_ack(
    client: MemoryClient, other: MemoryClient
) -> None:
    client.declare("q")
    client.qos(6)
    client.consume("q")
    fill(other, "q", 7)
    assert client.session.is_full
    assert len(client.messages()) == 6
    client.ack(1)
    assert client.messages() == [BIG]


def publish_bytes(body: bytes, *, mandatory: bool = False, key: str = "q") -> bytes:
    command = commands.Basic.Publish(routing_key=key, mandatory=mandatory)
    return command_frame(command, 1) + content_frames(1, body, bytes(2))


def test_a_message_like_the_last_is_handled_at_once(client: MemoryClient) -> None:
    client.declare("q")
    assert not client.session.receive_repeat(publish_bytes(b"1")), "there is no last one"
    client.send(publish_bytes(b"1"))
    assert client.session.receive_repeat(publish_bytes(b"2"))
    assert not client.session.receive_repeat(publish_bytes(b"3") * 2)
    assert client.get_all("q") == [b"1", b"2"]


def test_a_message_that_is_refused_is_left_to_be_refused(client: MemoryClient) -> None:
    client.declare("q")
    client.send(publish_bytes(b"1"))
    client.broker.users.clear_permissions("guest", "/")
    client.broker.permissions_changed()
    assert not client.session.receive_repeat(publish_bytes(b"2"))
    client.send(publish_bytes(b"2"))
    assert client.read(commands.Channel.Close).reply_code == 403
    assert not client.session.receive_repeat(publish_bytes(b"3")), "the channel is closing"
    assert len(client.queue("q").ready) == 1


def test_a_bug_with_a_message_like_the_last_is_told_as_any(
    client: MemoryClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client.declare("q")
    client.send(publish_bytes(b"1"))
    monkeypatch.setattr(Queue, "publish", lambda *_: 1 / 0)
    assert not client.session.receive_repeat(publish_bytes(b"2"))
    client.send(publish_bytes(b"2"))
    client.read_close(541)
    assert "ZeroDivisionError" in caplog.text


def test_who_does_not_read_what_comes_back_has_nothing_handled_at_once(
    client: MemoryClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    returned = publish_bytes(b"1", mandatory=True, key="nowhere")
    client.send(returned)
    assert client.session.receive_repeat(returned)
    monkeypatch.setattr(session_module, "OUTGOING_STOP_SIZE", client.session.wire.outgoing_size - 1)
    assert not client.session.receive_repeat(returned)


def test_permissions_are_asked_again_when_they_change(client: MemoryClient) -> None:
    client.declare("q")
    client.publish("q", b"1")
    client.broker.users.clear_permissions("guest", "/")
    client.broker.permissions_changed()
    client.publish("q", b"2")
    assert client.read(commands.Channel.Close).reply_code == 403
    assert len(client.queue("q").ready) == 1


def test_a_return_carries_the_message(client: MemoryClient) -> None:
    client.send(
        command_frame(commands.Basic.Publish(routing_key="no", mandatory=True), 1)
        + content_frames(1, b"body", bytes(2))
    )
    message = client.read_message(commands.Basic.Return)
    assert message.body == b"body"
    assert dict(message.command)["reply_code"] == 312
