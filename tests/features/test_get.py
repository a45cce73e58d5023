"""basic.get (FEATURES A6.10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pamqp import commands

from tests.amqp_bytes import properties, shortstr

if TYPE_CHECKING:
    from tests.features.conftest import Connect
    from tests.raw_client import RawClient


def test_get_ok_counts_the_messages_left(client: RawClient, queue: str) -> None:
    client.publish(queue, b"one", b"two", b"three")
    message = client.get(queue)
    assert message is not None
    assert dict(message.command) == {
        "delivery_tag": 1,
        "redelivered": False,
        "exchange": "",
        "routing_key": queue,
        "message_count": 2,
    }


def test_get_empty_has_an_empty_cluster_id(client: RawClient, queue: str) -> None:
    client.send_command(commands.Basic.Get(queue=queue))
    answer = client.read_frame()
    assert (answer.ids, answer.payload[4:]) == ((60, 72), shortstr(""))


def test_get_with_ack_holds_the_message_until_it_is_settled(client: RawClient, queue: str) -> None:
    client.publish(queue, b"one")
    message = client.get(queue, no_ack=False)
    assert message is not None
    assert client.get(queue) is None
    client.nack(message.tag)
    again = client.get(queue, no_ack=False)
    assert again is not None
    assert again.redelivered
    client.ack(again.tag)
    client.close_channel()
    client.open_channel()
    assert client.get(queue) is None


def test_get_without_ack_settles_at_once(client: RawClient, queue: str) -> None:
    client.publish(queue, b"one")
    assert client.get(queue) is not None
    client.close_channel()
    client.open_channel()
    assert client.counts(queue) == (0, 0)


def test_get_from_a_missing_queue(client: RawClient, name: str) -> None:
    client.send_command(commands.Basic.Get(queue=name))
    text = f"NOT_FOUND - no {client.resource('queue', name)}"
    client.expect_channel_error(404, text, (60, 70))


def test_get_carries_properties_and_a_large_body(client: RawClient, queue: str) -> None:
    header = properties(content_type="a/b", headers={"n": ("l", 1)}, priority=3)
    body = bytes(300_000)
    client.publish(queue, body, header=header)
    message = client.get(queue)
    assert message is not None
    assert (message.header, message.body) == (header, body)


def test_get_takes_turns_with_a_consumer(connect: Connect, name: str) -> None:
    consumer, getter = connect(), connect()
    consumer.declare(name)
    consumer.call(commands.Basic.Qos(prefetch_count=1), commands.Basic.QosOk)
    consumer.consume(name)
    consumer.publish(name, b"one", b"two", b"three")
    assert consumer.deliver().body == b"one"
    message = getter.get(name)
    assert message is not None
    assert message.body == b"two"
    consumer.ack(1)
    assert consumer.deliver().body == b"three"


def test_pipelined_gets_are_answered_in_order(client: RawClient, queue: str) -> None:
    client.publish(queue, b"one", b"two")
    for _ in range(3):
        client.send_command(commands.Basic.Get(queue=queue, no_ack=True))
    assert client.read_message(commands.Basic.GetOk).body == b"one"
    assert client.read_message(commands.Basic.GetOk).body == b"two"
    client.read(commands.Basic.GetEmpty)
