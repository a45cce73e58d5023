"""Delayed messages over real sockets, through kills and restarts (FEATURES A12.10, N2, S21)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import aio_pika
import pytest
from pamqp import commands

from tests.amqp_bytes import properties
from tests.features.clients import pika

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.features.restarts import Restarts
    from tests.helpers import RunningBroker
    from tests.raw_client import RawClient

pytestmark = pytest.mark.deviates("RabbitMQ needs a plugin")


def later(delay_ms: int) -> bytes:
    return properties(headers={"x-delay": ("I", delay_ms)}, delivery_mode=2)


def test_pika_publishes_to_a_delayed_exchange(pika_connect: Callable[[], Any], name: str) -> None:
    channel = pika_connect().channel()
    channel.confirm_delivery()
    arguments = {"x-delayed-type": "direct"}
    channel.exchange_declare(name, "x-delayed-message", arguments=arguments)
    channel.queue_declare(name)
    channel.queue_bind(name, name, "key")
    start = time.monotonic()
    for delay_ms in (150, 50, 100):
        header = pika.BasicProperties(headers={"x-delay": delay_ms})
        channel.basic_publish(name, "key", str(delay_ms).encode(), header)
    come = []
    for method, header, body in channel.consume(name, auto_ack=True):
        come.append((body, header.headers["x-delay"]))
        assert time.monotonic() - start >= int(body) / 1000
        if method.delivery_tag == 3:
            break
    assert come == [(b"50", -50), (b"100", -100), (b"150", -150)]
    channel.exchange_delete(name)
    channel.queue_delete(name)


async def test_aio_pika_publishes_for_a_time(broker: RunningBroker, name: str) -> None:
    async with await aio_pika.connect(broker.url()) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(name, exclusive=True)
        at_ms = int(time.time() * 1000) + 100
        message = aio_pika.Message(b"1", headers={"x-deliver-at": at_ms})
        await channel.default_exchange.publish(message, name)
        async with queue.iterator(no_ack=True) as messages:
            async for come in messages:
                assert come.body == b"1"
                break
        assert time.time() * 1000 >= at_ms


def test_a_mandatory_message_is_returned_and_comes(client: RawClient, queue: str) -> None:
    client.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
    client.consume(queue, no_ack=True)
    client.publish(queue, b"1", header=later(50), mandatory=True)
    returned = client.read_message(commands.Basic.Return).command
    assert isinstance(returned, commands.Basic.Return)
    assert returned.reply_code == 312
    client.read(commands.Basic.Ack)
    assert client.deliver().body == b"1"


def test_the_type_is_refused_without_its_argument(client: RawClient, name: str) -> None:
    client.send_command(commands.Exchange.Declare(exchange=name, exchange_type="x-delayed-message"))
    text = (
        "PRECONDITION_FAILED - Invalid argument, 'x-delayed-type' must be an existing exchange type"
    )
    client.expect_channel_error(406, text, (40, 10))


@pytest.mark.timeout(60)
def test_what_waits_survives_a_kill_and_a_stop(restarts: Restarts) -> None:
    client = restarts.start()
    client.declare("q", durable=True)
    arguments = {"x-delayed-type": ("S", b"fanout")}
    declare = commands.Exchange.Declare(
        exchange="x", exchange_type="x-delayed-message", durable=True
    )
    client.send_command(declare, arguments=arguments)
    client.read(commands.Exchange.DeclareOk)
    client.bind("q", "x", "")
    client.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
    client.publish("", b"2", exchange="x", header=later(2000))
    client.publish("q", b"1", header=later(1))
    while client.read(commands.Basic.Ack).delivery_tag != 2:
        pass
    restarts.kill()
    restarts.start()
    assert restarts.stop() == 0
    client = restarts.start()
    client.consume("q", no_ack=True)
    assert client.delivers(2) == [b"1", b"2"]
