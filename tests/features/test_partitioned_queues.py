"""Partitioned queues over real sockets with real clients (DESIGN section 5)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aio_pika
import pytest

from amqpbroker.broker.murmur2 import partition_of
from tests.amqp_bytes import properties
from tests.features.clients import pika

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.features.restarts import Restarts
    from tests.helpers import RunningBroker

pytestmark = pytest.mark.deviates("RabbitMQ has no partitions")

KEYS = [f"key {number}" for number in range(12)]
COUNT = 30


async def test_order_by_key_holds_while_workers_come_and_go(
    broker: RunningBroker, name: str
) -> None:
    """Whatever a worker has seen of a key, a later worker sees nothing older that was settled."""
    seen: dict[str, list[int]] = {key: [] for key in KEYS}
    done = asyncio.Event()

    async def start() -> aio_pika.abc.AbstractConnection:
        connection = await aio_pika.connect(broker.url())
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=4)

        async def work(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            key, _, number = message.body.decode().rpartition(" ")
            if connection.is_closed:
                return
            await message.ack()
            seen[key].append(int(number))
            if sum(len(set(numbers)) for numbers in seen.values()) == len(KEYS) * COUNT:
                done.set()

        await (await channel.get_queue(name)).consume(work)
        return connection

    first = await aio_pika.connect(broker.url())
    channel = await first.channel()
    arguments: dict[str, Any] = {"x-partitions": 8}
    queue = await channel.declare_queue(name, arguments=arguments)
    workers = [await start()]
    for number in range(COUNT):
        for key in KEYS:
            headers: dict[str, Any] = {"x-partition-key": key}
            message = aio_pika.Message(f"{key} {number}".encode(), headers=headers)
            await channel.default_exchange.publish(message, name)
        if number % 7 == 3:
            workers.append(await start())
        if number % 9 == 8:
            await workers.pop(0).close()
    await asyncio.wait_for(done.wait(), 15)
    for numbers in seen.values():
        first_times = list(dict.fromkeys(numbers))
        assert first_times == sorted(first_times)
    for worker in workers:
        await worker.close()
    await queue.delete(if_unused=False, if_empty=False)
    await first.close()


def test_pika_consumers_share(pika_connect: Callable[[], Any], name: str) -> None:
    channel, other = pika_connect().channel(), pika_connect().channel()
    channel.queue_declare(name, arguments={"x-partitions": 2})
    got: dict[str, list[bytes]] = {"a": [], "b": []}

    def note(_: Any, method: Any, __: Any, body: bytes) -> None:
        got[method.consumer_tag].append(body)

    channel.basic_consume(name, note, auto_ack=True, consumer_tag="a")
    other.basic_consume(name, note, auto_ack=True, consumer_tag="b")
    keys = {partition_of(key.encode(), 2): key for key in KEYS}
    for number in (0, 1, 0, 1):
        header = pika.BasicProperties(headers={"x-partition-key": keys[number]})
        channel.basic_publish("", name, b"%d" % number, header)
    while sum(map(len, got.values())) < 4:
        channel.connection.process_data_events(0.01)
        other.connection.process_data_events(0.01)
    assert sorted(got.values()) == [[b"0", b"0"], [b"1", b"1"]]
    channel.queue_delete(name)


@pytest.fixture
def restarts(restarts: Restarts) -> Restarts:
    restarts.has_management = True
    return restarts


@pytest.mark.timeout(60)
def test_partitions_survive_a_kill(restarts: Restarts) -> None:
    client = restarts.start()
    client.declare("q", {"x-partitions": ("I", 4)}, durable=True)
    for number in range(20):
        key = b"%d" % (number % 10)
        header = properties(delivery_mode=2, headers={"x-partition-key": ("S", key)})
        client.publish("q", b"%d" % number, header=header)
    client.consume("q")
    assert client.delivers(20) == [b"%d" % number for number in range(20)]
    for tag in range(1, 11):
        client.ack(tag)
    client.counts("q")
    before = restarts.api.get("/queues/{v}/q")["partitions"]
    assert restarts.stop() == 0
    client = restarts.start()
    after = restarts.api.get("/queues/{v}/q")["partitions"]
    unsettled = [row["messages_unacknowledged"] for row in before]
    assert [row["messages_ready"] for row in after] == unsettled
    restarts.kill()
    client = restarts.start()
    client.consume("q")
    assert client.delivers(10) == [b"%d" % number for number in range(10, 20)]
