"""Ack deadlines over real sockets with real clients (FEATURES N4, A9.17)."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import aio_pika
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.features.restarts import Restarts
    from tests.helpers import RunningBroker
    from tests.raw_client import RawClient

pytestmark = pytest.mark.deviates("RabbitMQ has no such deadlines")


def test_pika_gets_a_late_message_again(pika_connect: Callable[[], Any], name: str) -> None:
    channel = pika_connect().channel()
    channel.basic_qos(prefetch_count=1)
    channel.queue_declare(name, exclusive=True, arguments={"x-ack-deadline": 100})
    channel.basic_publish("", name, b"1")
    start = time.monotonic()
    seen = []
    for method, _, body in channel.consume(name):
        seen.append((method.delivery_tag, body, method.redelivered))
        if method.redelivered:
            break
    assert time.monotonic() - start >= 0.1
    assert seen == [(1, b"1", False), (2, b"1", True)]
    channel.basic_ack(1)
    channel.basic_ack(2)
    assert channel.queue_declare(name, passive=True).method.message_count == 0


async def test_aio_pika_extends(broker: RunningBroker, name: str) -> None:
    async with await aio_pika.connect(broker.url()) as connection:
        channel = await connection.channel()
        arguments: dict[str, Any] = {"x-ack-deadline": 150}
        queue = await channel.declare_queue(name, exclusive=True, arguments=arguments)
        come: asyncio.Queue[Any] = asyncio.Queue()
        await queue.consume(come.put)
        await channel.default_exchange.publish(aio_pika.Message(b"1"), name)
        message = await come.get()
        extension = aio_pika.Message(b"", headers={"x-delivery-tag": message.delivery_tag})
        start = time.monotonic()
        while time.monotonic() - start < 0.4:
            await channel.default_exchange.publish(extension, "amq.ack-extend")
            await asyncio.wait({asyncio.create_task(asyncio.Event().wait())}, timeout=0.03)
        assert come.empty()
        await message.ack()


def test_redeclaring_with_another_deadline_is_refused(client: RawClient, name: str) -> None:
    client.declare(name, {"x-ack-deadline": ("I", 100)})
    with pytest.raises(AssertionError, match="inequivalent arg 'x-ack-deadline'"):
        client.declare(name, {"x-ack-deadline": ("I", 200)})


@pytest.mark.parametrize("argument", ["x-ack-deadline", "x-consumer-timeout"])
def test_a_deadline_must_be_positive(client: RawClient, name: str, argument: str) -> None:
    with pytest.raises(AssertionError, match=f"invalid arg '{argument}' for queue .*value_zero"):
        client.declare(name, {argument: ("I", 0)})


def test_the_timeout_of_a_consumer_costs_its_channel(client: RawClient, queue: str) -> None:
    client.consume(queue, {"x-consumer-timeout": ("I", 50)})
    client.publish(queue, b"1")
    client.deliver()
    text = (
        "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. "
        "Timeout value used: 50 ms. This timeout value can be configured, "
        "see consumers doc guide to learn more"
    )
    client.expect_channel_error(406, text, (0, 0))


@pytest.mark.timeout(60)
def test_the_deadline_of_a_queue_survives_a_restart(restarts: Restarts) -> None:
    client = restarts.start()
    client.declare("q", {"x-ack-deadline": ("I", 50)}, durable=True)
    restarts.stop()
    client = restarts.start()
    client.publish("q", b"1")
    client.consume("q")
    assert client.delivers(2) == [b"1", b"1"]
