"""Message groups over real sockets with real clients (FEATURES N5)."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import aio_pika
import pytest

from tests.amqp_bytes import properties
from tests.features.clients import pika

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.features.restarts import Restarts
    from tests.helpers import RunningBroker

pytestmark = pytest.mark.deviates("RabbitMQ has no message groups")

KEYS = ("a", "b", "c", "d")
COUNT = 25


async def test_many_workers_keep_the_order_of_every_group(broker: RunningBroker, name: str) -> None:
    """Three connections, some of which requeue now and then, and one that dies on the way."""
    seen: list[tuple[str, int]] = []
    out: Counter[str] = Counter()
    done = asyncio.Event()
    rejected: set[tuple[str, int]] = set()

    async def work(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        key, number = message.body.decode().split()
        out[key] += 1
        assert out[key] == 1, "two of a group are out"
        await asyncio.to_thread(int)  # let the others have a turn
        out[key] -= 1
        if int(number) % 7 == 3 and (key, int(number)) not in rejected:
            rejected.add((key, int(number)))
            await message.nack(requeue=True)
            return
        seen.append((key, int(number)))
        await message.ack()
        if len(seen) == len(KEYS) * COUNT:
            done.set()

    connections = [await aio_pika.connect(broker.url()) for _ in range(4)]
    channels = [await connection.channel() for connection in connections]
    for channel in channels:
        await channel.set_qos(prefetch_count=5)
    arguments: dict[str, Any] = {"x-message-groups": True}
    queue = await channels[0].declare_queue(name, arguments=arguments)
    lost = await channels[3].get_queue(name)
    taken: asyncio.Queue[Any] = asyncio.Queue()
    await lost.consume(taken.put)
    for number in range(COUNT):
        for key in KEYS:
            message = aio_pika.Message(f"{key} {number}".encode(), headers={"x-group-key": key})
            await channels[0].default_exchange.publish(message, name)
    await taken.get()
    for channel in channels[:3]:
        await (await channel.get_queue(name)).consume(work)
    await connections[3].close()
    await asyncio.wait_for(done.wait(), 15)
    for key in KEYS:
        assert [number for other, number in seen if other == key] == list(range(COUNT))
    await queue.delete(if_unused=False, if_empty=False)
    for connection in connections[:3]:
        await connection.close()


def test_pika_gets_one_of_a_group(pika_connect: Callable[[], Any], name: str) -> None:
    channel = pika_connect().channel()
    channel.queue_declare(name, exclusive=True, arguments={"x-message-groups": True})
    for key, body in (("a", b"1"), ("a", b"2"), (7, b"3"), (7, b"4")):
        header = pika.BasicProperties(headers={"x-group-key": key})
        channel.basic_publish("", name, body, header)
    channel.basic_publish("", name, b"5")
    seen = []
    for method, _, body in channel.consume(name):
        seen.append(body)
        if method.delivery_tag in (3, 5):
            channel.basic_ack(method.delivery_tag, multiple=True)
        if len(seen) == 5:
            break
    assert seen == [b"1", b"3", b"5", b"2", b"4"]


@pytest.mark.timeout(60)
def test_groups_survive_a_kill(restarts: Restarts) -> None:
    client = restarts.start()
    client.declare("q", {"x-message-groups": ("t", True)}, durable=True)
    for body in (b"a1", b"a2", b"b1", b"b2", b"a3"):
        header = properties(delivery_mode=2, headers={"x-group-key": ("S", body[:1])})
        client.publish("q", body, header=header)
    client.consume("q")
    assert client.delivers(2) == [b"a1", b"b1"]
    client.ack(1)
    assert client.delivers(1) == [b"a2"]
    client.counts("q")
    restarts.stop()
    client = restarts.start()
    client.consume("q")
    assert client.delivers(2) == [b"a2", b"b1"]
    client.ack(2)
    client.ack(1)
    assert client.delivers(2) == [b"b2", b"a3"]
    restarts.kill()
    assert restarts.start().counts("q")[0] in (2, 3, 4)
