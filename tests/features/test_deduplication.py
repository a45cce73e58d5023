"""Duplicates over real sockets, and after kills (FEATURES N6, S20, A9.18, A12.12)."""

from __future__ import annotations

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

pytestmark = pytest.mark.deviates("RabbitMQ needs a plugin")


def test_pika_publishes_k_times_and_gets_k_confirms_and_one_message(
    pika_connect: Callable[[], Any], name: str
) -> None:
    channel = pika_connect().channel()
    channel.confirm_delivery()
    channel.queue_declare(name, arguments={"x-message-deduplication": True})
    header = pika.BasicProperties(headers={"x-deduplication-header": name})
    for number in range(5):
        channel.basic_publish("", name, str(number).encode(), header, mandatory=True)
    assert channel.basic_get(name, auto_ack=True)[2] == b"0"
    assert channel.basic_get(name)[2] is None
    channel.queue_delete(name)


async def test_aio_pika_publishes_to_the_exchange_of_the_plugin(
    broker: RunningBroker, name: str
) -> None:
    async with await aio_pika.connect(broker.url()) as connection:
        channel = await connection.channel()
        exchange = await channel.declare_exchange(
            name, "x-message-deduplication", auto_delete=True, arguments={"x-cache-size": "5"}
        )
        queue = await channel.declare_queue(name, exclusive=True)
        await queue.bind(exchange)
        message = aio_pika.Message(b"1", headers={"x-deduplication-header": "k"})
        for _ in range(3):
            await exchange.publish(message, "")
        assert queue.declaration_result.message_count == 0
        again = await channel.declare_queue(name, passive=True, exclusive=True)
        assert again.declaration_result.message_count == 1


@pytest.mark.timeout(60)
def test_what_was_confirmed_is_known_after_a_kill_and_a_stop(restarts: Restarts) -> None:
    on = {"x-message-deduplication": ("t", True)}
    keyed = properties(headers={"x-deduplication-header": ("S", b"k")}, delivery_mode=2)
    client = restarts.start()
    client.declare("q", on, durable=True)
    declare = commands.Exchange.Declare(exchange="x", exchange_type="fanout", durable=True)
    client.call(declare, commands.Exchange.DeclareOk, 1, on)
    client.declare("plain", durable=True)
    client.bind("plain", "x")
    for body in (b"1", b"2", b"3"):
        client.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
        client.publish("q", body, header=keyed)
        client.publish("", body, exchange="x", header=keyed)
        while client.read(commands.Basic.Ack).delivery_tag != 2:
            pass
        if body == b"1":
            restarts.kill()
        else:
            assert restarts.stop() == 0
        client = restarts.start()
    assert client.get_all("q") == [b"1"]
    assert client.get_all("plain") == [b"1"]
