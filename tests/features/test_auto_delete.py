"""Queues and exchanges that go when they are no longer used (FEATURES A3.8, A4.6)."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from pamqp import commands

if TYPE_CHECKING:
    from tests.features.conftest import Connect
    from tests.raw_client import RawClient


def expect_no_queue(client: RawClient, queue: str) -> None:
    client.send_command(commands.Queue.Declare(queue=queue, passive=True))
    text = f"NOT_FOUND - no {client.resource('queue', queue)}"
    client.expect_channel_error(404, text, (50, 10))


def expect_no_exchange(client: RawClient, exchange: str) -> None:
    client.send_command(commands.Exchange.Declare(exchange=exchange, passive=True))
    text = f"NOT_FOUND - no {client.resource('exchange', exchange)}"
    client.expect_channel_error(404, text, (40, 10))


def declare_exchange(client: RawClient, exchange: str) -> None:
    command = commands.Exchange.Declare(exchange=exchange, exchange_type="fanout", auto_delete=True)
    client.call(command, commands.Exchange.DeclareOk)


def check_exchange(client: RawClient, exchange: str) -> None:
    command = commands.Exchange.Declare(exchange=exchange, passive=True)
    client.call(command, commands.Exchange.DeclareOk)


@pytest.fixture
def auto(client: RawClient, name: str) -> str:
    """The name of an auto-delete queue."""
    return client.declare(name, auto_delete=True)


def test_the_queue_goes_with_its_last_consumer(client: RawClient, auto: str) -> None:
    client.consume(auto, tag="a")
    client.consume(auto, tag="b")
    client.call(commands.Basic.Cancel("a"), commands.Basic.CancelOk)
    assert client.counts(auto) == (0, 1)
    client.call(commands.Basic.Cancel("b"), commands.Basic.CancelOk)
    expect_no_queue(client, auto)


def test_the_queue_goes_with_the_channel_of_its_last_consumer(client: RawClient, auto: str) -> None:
    client.open_channel(2)
    client.consume(auto, channel=2)
    client.close_channel(2)
    expect_no_queue(client, auto)


def test_the_queue_goes_with_the_connection_of_its_last_consumer(
    connect: Connect, name: str
) -> None:
    consumer, other = connect(), connect()
    consumer.declare(name, auto_delete=True)
    consumer.publish(name, b"lost")
    consumer.consume(name)
    consumer.close_connection()
    expect_no_queue(other, name)


def test_a_queue_that_never_had_a_consumer_stays(connect: Connect, name: str) -> None:
    owner, other = connect(), connect()
    owner.declare(name, auto_delete=True)
    owner.close_connection()
    assert other.counts(name) == (0, 0)


def test_get_does_not_count_as_a_consumer(client: RawClient, auto: str) -> None:
    client.publish(auto, b"one")
    assert client.get_all(auto) == [b"one"]
    client.close_channel()
    client.open_channel()
    assert client.counts(auto) == (0, 0)


def test_the_last_consumer_is_not_told_that_the_queue_went(client: RawClient, auto: str) -> None:
    client.consume(auto, tag="mine")
    client.call(commands.Basic.Cancel("mine"), commands.Basic.CancelOk)
    client.declare(auto, durable=True)
    assert client.is_quiet(auto)


def test_bindings_go_with_the_queue(client: RawClient, auto: str) -> None:
    client.bind(auto, "amq.direct", auto)
    client.consume(auto, tag="mine")
    client.call(commands.Basic.Cancel("mine"), commands.Basic.CancelOk)
    client.declare(auto, auto_delete=True)
    client.publish(auto, b"lost", exchange="amq.direct")
    assert client.counts(auto) == (0, 0)


def test_the_exchange_goes_with_its_last_binding(client: RawClient, queue: str) -> None:
    # A3.8
    exchange = f"{queue}-x"
    declare_exchange(client, exchange)
    for key in ("a", "b"):
        client.bind(queue, exchange, key)
    for key in ("a", "b"):
        check_exchange(client, exchange)
        unbind = commands.Queue.Unbind(queue=queue, exchange=exchange, routing_key=key)
        client.call(unbind, commands.Queue.UnbindOk)
    expect_no_exchange(client, exchange)


def test_the_exchange_goes_with_its_last_bound_queue(client: RawClient, queue: str) -> None:
    exchange = f"{queue}-x"
    declare_exchange(client, exchange)
    client.bind(queue, exchange)
    client.call(commands.Queue.Delete(queue=queue), commands.Queue.DeleteOk)
    expect_no_exchange(client, exchange)


def test_an_exchange_that_never_had_a_binding_stays(client: RawClient, name: str) -> None:
    declare_exchange(client, name)
    client.close_channel()
    client.open_channel()
    check_exchange(client, name)


def test_bindings_to_the_exchange_do_not_count(client: RawClient, name: str) -> None:
    declare_exchange(client, name)
    for command, answer in (
        (commands.Exchange.Bind, commands.Exchange.BindOk),
        (commands.Exchange.Unbind, commands.Exchange.UnbindOk),
    ):
        client.call(command(destination=name, source="amq.fanout"), answer)
    check_exchange(client, name)


def test_exchanges_go_one_after_the_other(client: RawClient, queue: str) -> None:
    # A3.7: each was bound to the next, and the last one to the queue.
    names = [f"{queue}-{number}" for number in range(3)]
    for exchange in names:
        declare_exchange(client, exchange)
    for source, destination in itertools.pairwise(names):
        bind = commands.Exchange.Bind(destination=destination, source=source)
        client.call(bind, commands.Exchange.BindOk)
    client.bind(queue, names[-1])
    client.call(commands.Queue.Delete(queue=queue), commands.Queue.DeleteOk)
    for exchange in names:
        expect_no_exchange(client, exchange)
        client.open_channel()
