"""Exclusive queues (FEATURES A4.5, T18)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pamqp import commands

if TYPE_CHECKING:
    from tests.features.conftest import Connect
    from tests.raw_client import RawClient

DECLARE = (50, 10)


def locked(client: RawClient, queue: str) -> str:
    return (
        "RESOURCE_LOCKED - cannot obtain exclusive access to locked "
        f"{client.resource('queue', queue)}. It could be originally declared on another "
        "connection or the exclusive property value does not match that of the original "
        "declaration."
    )


@pytest.mark.parametrize(
    ("command", "ids"),
    [
        (commands.Queue.Declare(), DECLARE),
        (commands.Queue.Declare(exclusive=True), DECLARE),
        (commands.Queue.Declare(passive=True), DECLARE),
        (commands.Queue.Delete(), (50, 40)),
        (commands.Queue.Purge(), (50, 30)),
        (commands.Queue.Bind(exchange="amq.direct", routing_key="key"), (50, 20)),
        (commands.Basic.Consume(), (60, 20)),
        (commands.Basic.Get(), (60, 70)),
    ],
    ids=["declare", "exclusive", "passive", "delete", "purge", "bind", "consume", "get"],
)
def test_other_connections_are_locked_out(
    connect: Connect, name: str, command: Any, ids: tuple[int, int]
) -> None:
    owner, other = connect(), connect()
    owner.declare(name, exclusive=True)
    command.queue = name
    other.send_command(command)
    other.expect_channel_error(405, locked(other, name), ids)


def test_all_channels_of_the_owner_may_use_it(client: RawClient, name: str) -> None:
    client.open_channel(2)
    client.declare(name, exclusive=True)
    client.declare(name, exclusive=True, channel=2)
    client.consume(name, channel=2)
    client.publish(name, b"one")
    assert client.deliver(2).body == b"one"


def test_other_connections_may_publish_to_it(connect: Connect, name: str) -> None:
    owner, other = connect(), connect()
    owner.declare(name, exclusive=True)
    owner.consume(name, no_ack=True)
    other.publish(name, b"one")
    assert owner.deliver().body == b"one"


def test_the_queue_is_gone_before_close_ok(connect: Connect, name: str) -> None:
    # T18: a client that reconnects declares it again at once.
    watcher = connect()
    for _ in range(5):
        owner = connect()
        owner.declare(name, exclusive=True)
        owner.publish(name, b"lost")
        owner.close_connection()
        watcher.send_command(commands.Queue.Declare(queue=name, passive=True))
        text = f"NOT_FOUND - no {watcher.resource('queue', name)}"
        watcher.expect_channel_error(404, text, DECLARE)
        watcher.open_channel()


def test_it_outlives_its_channel(client: RawClient, name: str) -> None:
    client.open_channel(2)
    client.declare(name, exclusive=True, channel=2)
    client.publish(name, b"one", channel=2)
    client.close_channel(2)
    assert client.get_all(name) == [b"one"]


def test_it_goes_with_a_vanished_connection(connect: Connect, name: str) -> None:
    owner, other = connect(), connect()
    bound = other.declare("")
    owner.declare(name, exclusive=True)
    owner.consume(name, exclusive=True)
    owner.abort()
    # No frame tells when the broker has noticed; each answer 405 is a reason to ask again.
    declare = commands.Queue.Declare(queue=name, exclusive=True)
    while isinstance(answer := ask(other, declare), commands.Channel.Close):
        assert answer.reply_code == 405
        other.send_command(commands.Channel.CloseOk())
        other.open_channel()
    assert other.counts(bound) == (0, 0)


def ask(client: RawClient, command: Any) -> Any:
    client.send_command(command)
    return client.read_frame().command


def test_the_owner_cannot_declare_it_as_shared(client: RawClient, name: str) -> None:
    client.declare(name, exclusive=True)
    client.send_command(commands.Queue.Declare(queue=name))
    client.expect_channel_error(405, locked(client, name), DECLARE)


def test_a_shared_queue_cannot_be_declared_exclusive(client: RawClient, queue: str) -> None:
    client.send_command(commands.Queue.Declare(queue=queue, exclusive=True))
    client.expect_channel_error(405, locked(client, queue), DECLARE)


def test_durable_is_ignored_for_it(client: RawClient, name: str) -> None:
    client.declare(name, exclusive=True, durable=True)
    client.declare(name, exclusive=True, durable=False)
