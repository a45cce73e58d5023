"""Single active consumer (FEATURES A6.15)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pamqp import commands

if TYPE_CHECKING:
    from tests.features.conftest import Connect
    from tests.raw_client import RawClient


@pytest.fixture
def single(client: RawClient, name: str) -> str:
    """The name of a queue with one active consumer."""
    return client.declare(name, {"x-single-active-consumer": ("t", True)})


def cancel(client: RawClient, tag: str) -> None:
    client.call(commands.Basic.Cancel(tag), commands.Basic.CancelOk)


def test_only_the_first_consumer_is_served(client: RawClient, single: str) -> None:
    client.consume(single, tag="first", no_ack=True)
    client.consume(single, tag="second", no_ack=True)
    client.publish(single, *[b"body"] * 4)
    tags = [client.deliver().command["consumer_tag"] for _ in range(4)]
    assert tags == ["first"] * 4
    assert client.counts(single) == (0, 2)


def test_the_next_consumer_takes_over_after_cancel(client: RawClient, single: str) -> None:
    for tag in ("first", "second", "third"):
        client.consume(single, tag=tag, no_ack=True)
    for tag in ("first", "second", "third"):
        client.publish(single, b"body")
        assert client.deliver().command["consumer_tag"] == tag
        cancel(client, tag)


def test_the_next_consumer_takes_over_after_a_lost_connection(
    connect: Connect, client: RawClient, single: str
) -> None:
    active = connect()
    active.consume(single)
    client.consume(single)
    client.publish(single, b"one", b"two")
    active.delivers(2)
    active.close_connection()
    messages = [client.deliver() for _ in range(2)]
    assert [(m.body, m.redelivered) for m in messages] == [(b"one", True), (b"two", True)]


def test_a_full_active_consumer_is_not_replaced(client: RawClient, single: str) -> None:
    client.call(commands.Basic.Qos(prefetch_count=1), commands.Basic.QosOk)
    client.consume(single, tag="first")
    client.consume(single, tag="second")
    client.publish(single, b"one", b"two")
    assert client.deliver().command["consumer_tag"] == "first"
    assert client.is_quiet(single)


@pytest.mark.deviates("the queue of RabbitMQ 3.10 stalls, then crashes")
def test_open_deliveries_of_a_cancelled_consumer_stay_with_it(
    client: RawClient, single: str
) -> None:
    client.call(commands.Basic.Qos(prefetch_count=1), commands.Basic.QosOk)
    client.consume(single, tag="first")
    client.consume(single, tag="second")
    client.publish(single, b"one", b"two")
    client.deliver()
    cancel(client, "first")
    message = client.deliver()
    assert (message.command["consumer_tag"], message.body) == ("second", b"two")
    client.ack(1)
    assert client.is_quiet(single)


def test_order_is_kept_across_a_change(client: RawClient, single: str) -> None:
    client.open_channel(2)
    client.consume(single)
    client.consume(single, channel=2)
    bodies = [b"%d" % number for number in range(10)]
    client.publish(single, *bodies)
    client.delivers(10)
    client.close_channel()
    assert client.delivers(10, channel=2) == bodies


def test_an_exclusive_consumer_is_refused(client: RawClient, single: str) -> None:
    client.send_command(commands.Basic.Consume(queue=single, exclusive=True))
    text = f"ACCESS_REFUSED - {client.resource('queue', single)} in exclusive use"
    client.expect_channel_error(403, text, (60, 20))


def test_a_waiting_consumer_may_leave(client: RawClient, single: str) -> None:
    client.consume(single, tag="first", no_ack=True)
    client.consume(single, tag="second", no_ack=True)
    cancel(client, "second")
    client.publish(single, b"one")
    assert client.deliver().command["consumer_tag"] == "first"


def test_the_argument_must_be_a_boolean(client: RawClient, name: str) -> None:
    argument = {"x-single-active-consumer": ("S", "true")}
    client.send_command(commands.Queue.Declare(queue=name), 1, argument)
    where = client.resource("queue", name)
    text = (
        "PRECONDITION_FAILED - invalid arg 'x-single-active-consumer' for "
        f"{where}: {{unacceptable_type,longstr}}"
    )
    client.expect_channel_error(406, text, (50, 10))
