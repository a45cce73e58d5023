"""basic.consume and basic.deliver (FEATURES A6.1-A6.4, A6.13, A6.17, T7, T11)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pamqp import commands

from tests.amqp_bytes import command_frame
from tests.raw_client import CAPABILITIES

if TYPE_CHECKING:
    from tests.features.conftest import Connect
    from tests.raw_client import RawClient

CONSUME = (60, 20)


def test_consume_ok_comes_before_the_first_delivery(client: RawClient, queue: str) -> None:
    # T11: `consume` demands consume-ok as the very next frame.
    client.publish(queue, *[b"body"] * 100)
    client.counts(queue)
    tag = client.consume(queue)
    assert client.deliver().command["consumer_tag"] == tag


def test_a_server_named_consumer_tag(client: RawClient, queue: str) -> None:
    tag = client.consume(queue)
    assert tag.startswith("amq.ctag-")
    assert len(tag) == len("amq.ctag-") + 22
    assert client.consume(queue) != tag


def test_a_consumer_tag_is_unique_on_its_channel(client: RawClient, queue: str) -> None:
    client.consume(queue, tag="mine")
    client.send_command(commands.Basic.Consume(queue=queue, consumer_tag="mine"))
    text = "NOT_ALLOWED - attempt to reuse consumer tag 'mine'"
    client.expect_connection_error(530, text, CONSUME)


def test_two_channels_may_use_the_same_consumer_tag(client: RawClient, queue: str) -> None:
    client.open_channel(2)
    for channel in (1, 2):
        assert client.consume(queue, tag="mine", channel=channel) == "mine"


def test_a_consumer_tag_is_free_after_cancel(client: RawClient, queue: str) -> None:
    for _ in range(2):
        client.consume(queue, tag="mine")
        client.call(commands.Basic.Cancel("mine"), commands.Basic.CancelOk)


def test_nowait_consume_has_no_answer(client: RawClient, queue: str) -> None:
    client.publish(queue, b"one")
    client.send_command(commands.Basic.Consume(queue=queue, consumer_tag="mine", nowait=True))
    message = client.deliver()
    assert (message.command["consumer_tag"], message.body) == ("mine", b"one")


def test_consume_from_a_missing_queue(client: RawClient, name: str) -> None:
    client.send_command(commands.Basic.Consume(queue=name))
    text = f"NOT_FOUND - no {client.resource('queue', name)}"
    client.expect_channel_error(404, text, CONSUME)


def test_no_local_is_ignored(client: RawClient, queue: str) -> None:
    command = commands.Basic.Consume(queue=queue, no_local=True)
    client.call(command, commands.Basic.ConsumeOk)
    client.publish(queue, b"one")
    assert client.deliver().body == b"one"


def test_delivery_tags_count_per_channel_and_include_get(client: RawClient, queue: str) -> None:
    # A6.3
    client.open_channel(2)
    client.publish(queue, b"one", b"two", b"three")
    got = client.get(queue)
    assert got is not None
    assert got.tag == 1
    client.consume(queue)
    assert [client.deliver().tag for _ in range(2)] == [2, 3]
    client.nack(2)
    assert client.deliver().tag == 4
    client.declare(f"{queue}-2", channel=2)
    client.publish(f"{queue}-2", b"one", channel=2)
    client.consume(f"{queue}-2", channel=2)
    assert client.deliver(2).tag == 1


def test_a_delivery_names_its_exchange_and_key(client: RawClient, queue: str) -> None:
    client.bind(queue, "amq.topic", "a.#")
    client.consume(queue, tag="mine")
    client.publish("a.b", b"one", exchange="amq.topic")
    assert dict(client.deliver().command) == {
        "consumer_tag": "mine",
        "delivery_tag": 1,
        "redelivered": False,
        "exchange": "amq.topic",
        "routing_key": "a.b",
    }


def test_consumers_take_turns(client: RawClient, queue: str) -> None:
    # A6.4
    for tag in ("a", "b", "c"):
        client.consume(queue, tag=tag, no_ack=True)
    client.publish(queue, *[b"body"] * 9)
    tags = [str(client.deliver().command["consumer_tag"]) for _ in range(9)]
    assert tags == tags[:3] * 3
    assert sorted(tags[:3]) == ["a", "b", "c"]


def test_a_message_goes_to_one_consumer_only(connect: Connect, name: str) -> None:
    clients = [connect() for _ in range(3)]
    clients[0].declare(name)
    for client in clients:
        client.consume(name, no_ack=True)
    clients[0].publish(name, *[b"%d" % number for number in range(30)])
    bodies = [body for client in clients for body in client.delivers(10)]
    assert sorted(bodies, key=int) == [b"%d" % number for number in range(30)]


def test_a_consumer_at_its_limit_is_passed_over(client: RawClient, queue: str) -> None:
    client.call(commands.Basic.Qos(prefetch_count=1), commands.Basic.QosOk)
    client.consume(queue, tag="limited")
    client.call(commands.Basic.Qos(prefetch_count=0), commands.Basic.QosOk)
    client.consume(queue, tag="free")
    client.publish(queue, *[b"body"] * 10)
    tags = [client.deliver().command["consumer_tag"] for _ in range(10)]
    assert tags.count("limited") == 1


def test_no_ack_deliveries_are_settled_at_once(client: RawClient, queue: str) -> None:
    # A6.17: no limit applies, and nothing comes back.
    client.call(commands.Basic.Qos(prefetch_count=1), commands.Basic.QosOk)
    client.consume(queue, no_ack=True)
    client.publish(queue, *[b"body"] * 5)
    client.delivers(5)
    client.close_channel()
    client.open_channel()
    assert client.counts(queue) == (0, 0)


def test_a_no_ack_delivery_cannot_be_acked(client: RawClient, queue: str) -> None:
    # A6.8
    client.consume(queue, no_ack=True)
    client.publish(queue, b"one")
    client.ack(client.deliver().tag)
    text = "PRECONDITION_FAILED - unknown delivery tag 1"
    client.expect_channel_error(406, text, (60, 80))


def test_an_exclusive_consumer_needs_the_queue_for_itself(client: RawClient, queue: str) -> None:
    # A6.2
    client.open_channel(2)
    client.consume(queue)
    client.send_command(commands.Basic.Consume(queue=queue, exclusive=True), 2)
    text = f"ACCESS_REFUSED - {client.resource('queue', queue)} in exclusive use"
    client.expect_channel_error(403, text, CONSUME, channel=2)


def test_an_exclusive_consumer_keeps_others_out(connect: Connect, name: str) -> None:
    holder, other = connect(), connect()
    holder.declare(name)
    holder.consume(name, tag="mine", exclusive=True)
    other.send_command(commands.Basic.Consume(queue=name))
    text = f"ACCESS_REFUSED - {other.resource('queue', name)} in exclusive use"
    other.expect_channel_error(403, text, CONSUME)
    holder.call(commands.Basic.Cancel("mine"), commands.Basic.CancelOk)
    other.open_channel()
    other.consume(name, exclusive=True)


def test_an_exclusive_consumer_does_not_hinder_get(connect: Connect, name: str) -> None:
    holder, other = connect(), connect()
    holder.declare(name)
    holder.call(commands.Basic.Qos(prefetch_count=1), commands.Basic.QosOk)
    holder.consume(name, exclusive=True)
    holder.publish(name, b"one", b"two")
    assert holder.deliver().body == b"one"
    assert other.get_all(name) == [b"two"]


def test_consumers_are_told_that_their_queue_is_gone(connect: Connect, name: str) -> None:
    # A6.13, T7
    consumer, other = connect(), connect()
    other.declare(name)
    consumer.consume(name, tag="mine")
    other.call(commands.Queue.Delete(queue=name), commands.Queue.DeleteOk)
    cancel = consumer.read(commands.Basic.Cancel)
    assert (cancel.consumer_tag, cancel.nowait) == ("mine", True)
    other.declare(name)
    consumer.consume(name, tag="mine")


def test_a_client_without_the_capability_is_not_told(dial: Connect, name: str) -> None:
    client = dial()
    client.login(capabilities={**CAPABILITIES, "consumer_cancel_notify": False})
    client.tune_ok()
    client.open()
    client.open_channel()
    client.declare(name)
    client.consume(name)
    client.call(commands.Queue.Delete(queue=name), commands.Queue.DeleteOk)
    client.declare(name)
    assert client.is_quiet(name)


def test_an_answer_to_the_brokers_cancel_is_tolerated(client: RawClient, queue: str) -> None:
    client.consume(queue, tag="mine")
    client.send_command(commands.Queue.Delete(queue=queue, nowait=True))
    client.read(commands.Basic.Cancel)
    client.declare(queue)
    assert client.is_quiet(queue)


def test_deliveries_on_several_channels_do_not_mix(client: RawClient, name: str) -> None:
    for channel in range(2, 6):
        client.open_channel(channel)
        client.declare(f"{name}-{channel}", channel=channel)
        client.consume(f"{name}-{channel}", channel=channel, no_ack=True)
    for number in range(50):
        for channel in range(2, 6):
            client.publish(f"{name}-{channel}", b"%d/%d" % (channel, number))
    for channel in range(2, 6):
        expected = [b"%d/%d" % (channel, number) for number in range(50)]
        assert client.delivers(50, channel) == expected


def test_consume_and_publish_in_one_write(client: RawClient, queue: str) -> None:
    consume = commands.Basic.Consume(queue=queue, consumer_tag="mine")
    client.send(command_frame(consume, 1))
    client.publish(queue, b"one")
    client.read(commands.Basic.ConsumeOk)
    assert client.deliver().body == b"one"
