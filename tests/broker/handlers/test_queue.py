"""Class queue: who gets in, and what a refusal leaves behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pamqp import base, commands

from tests.amqp_bytes import TypedTable, command_frame

if TYPE_CHECKING:
    from tests.broker.client import MemoryClient

LOCKED = "405 cannot obtain exclusive access to locked queue 'q' in vhost '/'."


def refused(client: MemoryClient, command: base.Frame, arguments: TypedTable | None = None) -> str:
    client.send(command_frame(command, 1, arguments))
    close = client.read(commands.Channel.Close)
    client.send_command(commands.Channel.CloseOk())
    client.open_channel()
    return f"{close.reply_code} {close.reply_text.partition(' - ')[2]}"


def declare(**options: Any) -> commands.Queue.Declare:
    return commands.Queue.Declare(queue="q", **options)


def test_a_made_up_name_is_remembered(client: MemoryClient) -> None:
    name = client.declare()
    assert name.startswith("amq.gen-")
    client.bind("", "amq.direct")
    client.publish(name, b"1", exchange="amq.direct")
    assert client.get_all("") == [b"1"]


def test_an_exclusive_queue_belongs_to_its_connection(
    client: MemoryClient, other: MemoryClient
) -> None:
    client.declare("q", durable=True, exclusive=True)
    assert not client.queue("q").is_durable
    client.open_channel(2)
    client.consume("q", channel=2)
    for command in (
        declare(),
        declare(passive=True),
        declare(exclusive=True),
        commands.Queue.Bind(queue="q", exchange="amq.fanout"),
        commands.Queue.Purge(queue="q"),
        commands.Queue.Delete(queue="q"),
        commands.Basic.Consume(queue="q"),
        commands.Basic.Get(queue="q"),
    ):
        assert refused(other, command).startswith(LOCKED)
    assert refused(client, declare()).startswith(LOCKED)
    client.declare("q", exclusive=True)
    assert client.counts("q") == (0, 1)


def test_an_exclusive_queue_goes_with_its_connection(
    client: MemoryClient, other: MemoryClient
) -> None:
    client.declare("q", exclusive=True)
    client.bind("q", "amq.fanout")
    client.close()
    assert not client.broker.vhosts["/"].queues
    assert not client.broker.vhosts["/"].exchanges["amq.fanout"].bindings
    other.declare("q")


def test_an_exclusive_queue_that_was_deleted_is_not_deleted_again(
    client: MemoryClient, other: MemoryClient
) -> None:
    client.declare("q", exclusive=True)
    client.delete("q")
    assert not client.session.exclusive_queues
    other.declare("q")
    client.close()
    assert "q" in client.broker.vhosts["/"].queues


@pytest.mark.parametrize(
    ("options", "arguments", "text"),
    [
        ({"durable": True}, {}, "'durable' for {}: received 'true' but current is 'false'"),
        ({"auto_delete": True}, {}, "'auto_delete' for {}: received 'true' but current is 'false'"),
        (
            {},
            {"x-expires": ("I", 5)},
            "'x-expires' for {}: received the value '5' of type 'signedint' but current is none",
        ),
    ],
)
def test_something_else_under_the_name(
    client: MemoryClient, options: dict[str, Any], arguments: TypedTable, text: str
) -> None:
    client.declare("q")
    found = refused(client, declare(**options), arguments)
    where = "queue 'q' in vhost '/'"
    assert found == f"406 inequivalent arg {text.format(where)}"


def test_a_refused_queue_is_not_there(client: MemoryClient) -> None:
    assert refused(client, declare(), {"x-expires": ("I", 0)}).startswith("406 invalid arg")
    assert refused(client, declare(), {"x-dead-letter-exchange": ("I", 0)}).startswith(
        "406 invalid type 'signedint' for arg 'x-dead-letter-exchange'"
    )
    name = "amq.mine"
    text = f"403 queue name '{name}' contains reserved prefix 'amq.*'"
    assert refused(client, commands.Queue.Declare(queue=name)) == text
    assert not client.broker.vhosts["/"].queues


def test_counts_are_ready_messages_and_all_consumers(
    client: MemoryClient, other: MemoryClient
) -> None:
    client.declare("q", {"x-single-active-consumer": ("t", True)})
    client.qos(1)
    client.consume("q")
    other.consume("q")
    client.publish("q", b"1", b"2", b"3")
    client.messages()
    assert client.counts("q") == (2, 2)
    client.send_command(commands.Queue.Purge(queue="q"))
    assert client.read(commands.Queue.PurgeOk).message_count == 2


def test_deleting_tells_how_many_were_ready(client: MemoryClient) -> None:
    client.publish(client.declare("q"), b"1", b"2", b"3")
    client.get("q", no_ack=False)
    text = "406 queue 'q' in vhost '/' not empty"
    assert refused(client, commands.Queue.Delete(queue="q", if_empty=True)) == text
    client.get("q", no_ack=False)
    for count in (2, 0):
        client.send_command(commands.Queue.Delete(queue="q"))
        assert client.read(commands.Queue.DeleteOk).message_count == count


def test_a_queue_in_use_may_be_kept(client: MemoryClient, other: MemoryClient) -> None:
    client.consume(client.declare("q"), tag="t")
    text = "406 queue 'q' in vhost '/' in use"
    assert refused(other, commands.Queue.Delete(queue="q", if_unused=True)) == text
    other.delete("q")
    cancelled = client.read(commands.Basic.Cancel)
    assert (cancelled.consumer_tag, cancelled.nowait) == ("t", True)
    assert not client.channel().consumers


def test_nowait_means_silence(client: MemoryClient) -> None:
    client.send_command(declare(nowait=True))
    client.send_command(commands.Queue.Bind(queue="q", exchange="amq.fanout", nowait=True))
    client.publish("", b"1", exchange="amq.fanout")
    client.send_command(commands.Queue.Purge(queue="q", nowait=True))
    assert client.queue("q")
    client.send_command(commands.Queue.Delete(queue="q", nowait=True))
    assert client.is_silent
    assert not client.broker.vhosts["/"].queues


def test_unbinding_what_is_not_there_is_fine(client: MemoryClient) -> None:
    command = commands.Queue.Unbind(queue="no", exchange="amq.direct", routing_key="k")
    client.call(command, commands.Queue.UnbindOk)
