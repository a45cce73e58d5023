"""Quorum queues over real sockets (FEATURES A11.1, A9.14, A9.15, A8.7, A8.8)."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from pamqp import commands

from tests.features.restarts import Restarts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.amqp_bytes import TypedTable
    from tests.raw_client import RawClient

    Connect = Callable[[], RawClient]

QUORUM: TypedTable = {"x-queue-type": ("S", b"quorum")}
CONSUME, GET, DECLARE, DELETE = (60, 20), (60, 70), (50, 10), (50, 40)


@contextmanager
def quorum_queue(connect: Connect, name: str, **arguments: Any) -> Iterator[RawClient]:
    """Yield a client, with a quorum queue that is there until the end."""
    client = connect()
    named: TypedTable = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
    client.declare(name, {**QUORUM, **named}, durable=True)
    yield client
    connect().call(commands.Queue.Delete(queue=name), commands.Queue.DeleteOk)


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ({}, "invalid property 'non-durable' for "),
        ({"durable": True, "exclusive": True}, "invalid property 'exclusive-owner' for "),
        ({"durable": True, "auto_delete": True}, "invalid property 'auto-delete' for "),
        ({"exclusive": True, "auto_delete": True}, "invalid property 'auto-delete' for "),
    ],
)
def test_a_quorum_queue_is_durable_and_everybodys(
    client: RawClient, name: str, flags: dict[str, Any], text: str
) -> None:
    client.send_command(commands.Queue.Declare(queue=name, **flags), 1, QUORUM)
    text = f"PRECONDITION_FAILED - {text}{client.resource('queue', name)}"
    client.expect_channel_error(406, text, DECLARE)


def test_a_quorum_queue_is_not_named_by_the_server(client: RawClient) -> None:
    client.send_command(commands.Queue.Declare(queue="", durable=True), 1, QUORUM)
    text = "PRECONDITION_FAILED - Cannot declare a server-named queue for type rabbit_quorum_queue"
    client.expect_channel_error(406, text, DECLARE)


@pytest.mark.parametrize(
    ("kind", "argument"),
    [
        ("quorum", "x-max-priority"),
        ("quorum", "x-queue-mode"),
        ("quorum", "x-queue-version"),
        ("quorum", "x-max-age"),
        ("classic", "x-delivery-limit"),
        ("classic", "x-dead-letter-strategy"),
    ],
)
def test_an_argument_of_another_type_is_refused(
    client: RawClient, name: str, kind: str, argument: str
) -> None:
    arguments: TypedTable = {"x-queue-type": ("S", kind.encode()), argument: ("I", 1)}
    client.send_command(commands.Queue.Declare(queue=name, durable=True), 1, arguments)
    where = client.resource("queue", name)
    text = f"PRECONDITION_FAILED - invalid arg '{argument}' for {where} of queue type "
    client.expect_channel_error(406, f"{text}rabbit_{kind}_queue", DECLARE)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "x-queue-type' for {}: received none but current is the value 'quorum' of type 'lon"),
        (
            {"x-queue-type": ("S", b"classic")},
            "x-queue-type' for {}: received 'classic' but current is 'quorum'",
        ),
        (
            {**QUORUM, "x-delivery-limit": ("I", 3)},
            "x-delivery-limit' for {}: received the value '3' of type 'signedint' but current is n",
        ),
    ],
)
def test_a_redeclare_names_the_type(
    connect: Connect, name: str, arguments: TypedTable, text: str
) -> None:
    with quorum_queue(connect, name) as client:
        client.declare(name, {**QUORUM, "x-max-priority": ("I", 3)}, durable=True)  # not compared
        client.declare(name, passive=True)
        client.send_command(commands.Queue.Declare(queue=name, durable=True), 1, arguments)
        close = client.read(commands.Channel.Close)
        where = client.resource("queue", name)
        start = f"PRECONDITION_FAILED - inequivalent arg '{text.format(where)}"
        assert (close.reply_text or "").startswith(start)


def test_global_prefetch_is_refused(connect: Connect, name: str) -> None:
    with quorum_queue(connect, name) as client:
        client.call(commands.Basic.Qos(prefetch_count=5, global_=True), commands.Basic.QosOk)
        client.send_command(commands.Basic.Consume(queue=name))
        where = client.resource("queue", name)
        text = f"NOT_IMPLEMENTED - {where} does not support global qos"
        client.expect_connection_error(540, text, CONSUME)


def test_a_get_beside_a_single_active_consumer_is_refused(connect: Connect, name: str) -> None:
    with quorum_queue(connect, name, single_active_consumer=("t", True)) as client:
        client.send_command(commands.Basic.Get(queue=name))
        where = client.resource("queue", name)
        text = f"RESOURCE_LOCKED - cannot obtain access to locked {where}. basic.get operations "
        text += "are not supported by quorum queues with single active consumer"
        client.expect_channel_error(405, text, GET)


@pytest.mark.parametrize("flag", ["if_unused", "if_empty"])
def test_there_is_no_conditional_delete(connect: Connect, name: str, flag: str) -> None:
    with quorum_queue(connect, name) as client:
        client.send_command(commands.Queue.Delete(queue=name, **{flag: True}))
        text = f"NOT_IMPLEMENTED - cannot delete {client.resource('queue', name)}. queue.delete "
        text += f"operations with {flag.replace('_', '-')} flag set are not supported by quorum "
        client.expect_connection_error(540, f"{text}queues", DELETE)


def test_a_delivery_tells_how_often_there_was_one(connect: Connect, name: str) -> None:
    with quorum_queue(connect, name) as client:
        client.publish(name, b"1")
        client.consume(name)
        first = client.deliver()
        client.nack(first.tag)
        second = client.deliver()
        assert "x-delivery-count" not in first.headers
        assert second.headers == {"x-delivery-count": 1}
        assert b"x-delivery-countl" in second.header  # T5: an int64


@pytest.mark.deviates("needs a broker of its own")
def test_messages_and_their_counts_survive_a_kill(tmp_path: Path, name: str) -> None:
    broker = Restarts(tmp_path)
    try:
        client = broker.start()
        limit: TypedTable = {"x-delivery-limit": ("I", 2)}
        client.declare(name, {**QUORUM, **limit}, durable=True)
        client.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
        client.publish(name, b"transient")
        client.read(commands.Basic.Ack)
        for count in (0, 1):
            message = client.get(name, no_ack=False)
            assert message is not None
            assert message.headers["x-delivery-count"] == count
            client.nack(message.tag)
        client.publish(name, b"after")
        client.read(commands.Basic.Ack)  # what came before it is on the disk too
        broker.kill()
        client = broker.start()
        message = client.get(name, no_ack=False)
        assert message is not None
        assert (message.body, message.headers["x-delivery-count"]) == (b"transient", 2)
        client.nack(message.tag)
        assert client.get_all(name) == [b"after"]
    finally:
        broker.close()
