"""Retries over real sockets, and through kills (FEATURES N7, S157-S159)."""

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

pytestmark = pytest.mark.deviates("RabbitMQ before 4.3 has no retries, and only in quorum queues")


def test_pika_tries_again_and_finds_the_error_in_the_dead_letter(
    pika_connect: Callable[[], Any], name: str
) -> None:
    channel = pika_connect().channel()
    dead = channel.queue_declare("", exclusive=True).method.queue
    arguments = {
        "x-delayed-retry-min": 20,
        "x-delayed-retry-multiplier": "1.5",
        "x-delivery-limit": 1,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": dead,
    }
    channel.queue_declare(name, arguments=arguments, exclusive=True)
    channel.basic_publish("", name, b"1")
    start = time.monotonic()
    for method, header, _body in channel.consume(name):
        failures = (header.headers or {}).get("x-delivery-count", 0)
        note = pika.BasicProperties(headers={"x-delivery-tag": method.delivery_tag})
        channel.basic_publish("", "amq.delivery-error", f"error {failures}".encode(), note)
        channel.basic_reject(method.delivery_tag, requeue=True)
        if failures:
            break
    assert time.monotonic() - start >= 0.02
    channel.cancel()
    _, header, body = channel.basic_get(dead, auto_ack=True)
    assert body == b"1"
    assert header.headers["x-exception-message"] == "error 1"
    assert header.headers["x-death"][0]["reason"] == "delivery_limit"


async def test_aio_pika_uses_the_names_of_rabbitmq(broker: RunningBroker, name: str) -> None:
    async with await aio_pika.connect(broker.url()) as connection:
        channel = await connection.channel()
        arguments: Any = {
            "x-queue-type": "quorum",
            "x-delayed-retry-type": "all",
            "x-delayed-retry-min": 20,
            "x-delayed-retry-max": 40,
        }
        queue = await channel.declare_queue(name, durable=True, arguments=arguments)
        await channel.default_exchange.publish(aio_pika.Message(b"1"), name)
        counts = []
        async with queue.iterator() as messages:
            async for message in messages:
                counts.append(message.headers.get("x-delivery-count", 0))
                if len(counts) == 3:
                    await message.ack()
                    break
                await message.nack(requeue=True)
        assert counts == [0, 1, 2]
        await queue.delete(if_unused=False, if_empty=False)


@pytest.mark.timeout(60)
def test_failures_are_counted_over_kills(restarts: Restarts) -> None:
    client = restarts.start()
    client.declare("dead", durable=True)
    arguments = {
        "x-delayed-retry-min": ("I", 50),
        "x-delivery-limit": ("I", 2),
        "x-dead-letter-exchange": ("S", b""),
        "x-dead-letter-routing-key": ("S", b"dead"),
    }
    client.declare("q", arguments, durable=True)
    client.call(commands.Tx.Select(), commands.Tx.SelectOk)
    client.publish("q", b"1", header=properties(delivery_mode=2))
    client.call(commands.Tx.Commit(), commands.Tx.CommitOk)
    for failures in range(3):
        while (delivered := client.get("q", no_ack=False)) is None:
            pass  # it waits
        assert delivered.headers.get("x-delivery-count", 0) == failures
        client.nack(delivered.tag)
        if failures == 2:
            break
        # The commit of a transaction is answered when the failure is on the disk.
        client.call(commands.Tx.Commit(), commands.Tx.CommitOk)
        restarts.kill()
        client = restarts.start()
        client.call(commands.Tx.Select(), commands.Tx.SelectOk)
    client.call(commands.Tx.Commit(), commands.Tx.CommitOk)
    restarts.kill()
    client = restarts.start()
    assert client.get_all("dead") == [b"1"]
    assert client.get_all("q") == []
