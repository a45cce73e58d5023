"""Binding: the order of the checks, and what a new binding is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pamqp import base, commands

from amqpbroker.auth.users import Permissions, TopicPermissions

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.broker.client import MemoryClient


def bind(queue: str = "q", exchange: str = "amq.topic", key: str = "k") -> base.Frame:
    return commands.Queue.Bind(queue=queue, exchange=exchange, routing_key=key)


def unbind(queue: str = "q", exchange: str = "amq.topic", key: str = "k") -> base.Frame:
    return commands.Queue.Unbind(queue=queue, exchange=exchange, routing_key=key)


def refused(client: MemoryClient, command: base.Frame) -> str:
    client.send_command(command)
    close = client.read(commands.Channel.Close)
    client.send_command(commands.Channel.CloseOk())
    client.open_channel()
    return f"{close.reply_code} {close.reply_text.partition(' - ')[2]}"


def permit(client: MemoryClient, *, write: str = ".*", read: str = ".*") -> None:
    client.broker.users.set_permissions("guest", "/", Permissions(".*", write, read))


@pytest.mark.parametrize("method", [bind, unbind])
def test_permissions_are_checked_before_anything_else(
    client: MemoryClient, method: Callable[..., base.Frame]
) -> None:
    permit(client, write="^$", read="^$")
    text = "403 write access to queue 'no' in vhost '/' refused for user 'guest'"
    assert refused(client, method("no", "")) == text
    permit(client, read="^$")
    text = "403 operation not permitted on the default exchange"
    assert refused(client, method("no", "")) == text
    text = "403 read access to exchange 'amq.topic' in vhost '/' refused for user 'guest'"
    assert refused(client, method("no")) == text


def test_reading_a_topic_may_be_forbidden(client: MemoryClient) -> None:
    rights = TopicPermissions(".*", "^a")
    client.broker.users.set_topic_permissions("guest", "/", "amq.topic", rights)
    client.declare("q")
    client.bind("q", "amq.topic", "a.#")
    text = "403 read access to topic 'b' in exchange 'amq.topic' in vhost '/' refused"
    assert refused(client, bind(key="b")).startswith(text)


def test_the_source_is_looked_for_first(client: MemoryClient) -> None:
    assert refused(client, bind("no", "gone")) == "404 no exchange 'gone' in vhost '/'"
    assert refused(client, bind("no")) == "404 no queue 'no' in vhost '/'"
    command = commands.Exchange.Bind(destination="no", source="amq.topic")
    assert refused(client, command) == "404 no exchange 'no' in vhost '/'"


def test_the_same_binding_twice_is_one(client: MemoryClient) -> None:
    client.declare("q")
    for _ in range(2):
        client.bind("q", "amq.topic", "k")
    client.publish("k", b"1", exchange="amq.topic")
    assert client.get_all("q") == [b"1"]
    client.call(unbind(), commands.Queue.UnbindOk)
    client.publish("k", b"2", exchange="amq.topic")
    assert client.get_all("q") == []


def test_arguments_are_part_of_a_binding(client: MemoryClient) -> None:
    client.declare("q")
    client.bind("q", "amq.headers", "", {"a": ("I", 1)})
    client.bind("q", "amq.headers", "", {"a": ("I", 2)})
    bindings = client.broker.vhosts["/"].exchanges["amq.headers"].bindings
    assert len(bindings) == 2
    command = commands.Queue.Unbind(queue="q", exchange="amq.headers")
    client.call(command, commands.Queue.UnbindOk, 1, {"a": ("I", 1)})
    assert len(bindings) == 1


def test_a_new_binding_is_sent_the_history(client: MemoryClient) -> None:
    client.call(
        commands.Exchange.Declare(exchange="h", exchange_type="x-recent-history"),
        commands.Exchange.DeclareOk,
    )
    client.publish("k", b"1", b"2", exchange="h")
    for queue in ("q", "r"):
        client.declare(queue)
    client.bind("q", "h")
    client.bind("q", "h")
    assert client.get_all("q") == [b"1", b"2"]
    client.bind("r", "amq.fanout")
    command = commands.Exchange.Bind(destination="amq.fanout", source="h")
    client.call(command, commands.Exchange.BindOk)
    assert client.get_all("r") == [b"1", b"2"]


def test_somebody_elses_exclusive_queue_is_not_unbound(
    client: MemoryClient, other: MemoryClient
) -> None:
    client.declare("q", exclusive=True)
    client.bind("q", "amq.topic", "k")
    assert refused(other, unbind()).startswith("405 cannot obtain exclusive access")
    other.call(unbind(key="other"), commands.Queue.UnbindOk)
