"""Mandatory messages that no queue takes (FEATURES A5.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pamqp import commands

from tests.amqp_bytes import properties

if TYPE_CHECKING:
    from tests.raw_client import RawClient


def test_an_unroutable_mandatory_message_comes_back_whole(client: RawClient, name: str) -> None:
    header = properties(
        content_type="text/plain", headers={"n": ("l", 1)}, message_id="id", delivery_mode=2
    )
    body = b"body" * 50_000
    client.publish(name, body, exchange="amq.topic", header=header, mandatory=True)
    message = client.read_message(commands.Basic.Return)
    assert dict(message.command) == {
        "reply_code": 312,
        "reply_text": "NO_ROUTE",
        "exchange": "amq.topic",
        "routing_key": name,
    }
    assert (message.header, message.body) == (header, body)


def test_a_return_through_the_default_exchange(client: RawClient, name: str) -> None:
    client.publish(name, b"", mandatory=True)
    message = client.read_message(commands.Basic.Return)
    assert (message.command["exchange"], message.command["routing_key"]) == ("", name)
    assert message.body == b""


def test_returns_keep_the_order_of_publishing(client: RawClient, name: str) -> None:
    bodies = [b"%d" % number for number in range(100)]
    client.publish(name, *bodies, mandatory=True)
    returned = [client.read_message(commands.Basic.Return).body for _ in bodies]
    assert returned == bodies


def test_a_routed_mandatory_message_is_not_returned(client: RawClient, queue: str) -> None:
    client.publish(queue, b"one", mandatory=True)
    assert client.is_quiet(queue)
    assert client.get_all(queue) == [b"one"]


def test_an_unroutable_message_that_is_not_mandatory_vanishes(
    client: RawClient, queue: str, name: str
) -> None:
    client.publish(f"{name}-nobody", b"lost")
    assert client.is_quiet(queue)


def test_a_message_refused_by_a_full_queue_is_not_returned(client: RawClient, name: str) -> None:
    client.declare(name, {"x-max-length": ("I", 0), "x-overflow": ("S", "reject-publish")})
    client.publish(name, b"refused", mandatory=True)
    assert client.is_quiet(name)


def test_a_message_only_an_exchange_took_is_returned(client: RawClient, name: str) -> None:
    # A bound exchange that drops the message is no queue.
    declare = commands.Exchange.Declare(exchange=name, exchange_type="fanout")
    client.call(declare, commands.Exchange.DeclareOk)
    bind = commands.Exchange.Bind(destination=name, source="amq.direct", routing_key=name)
    client.call(bind, commands.Exchange.BindOk)
    client.publish(name, b"lost", exchange="amq.direct", mandatory=True)
    assert client.read_message(commands.Basic.Return).body == b"lost"
