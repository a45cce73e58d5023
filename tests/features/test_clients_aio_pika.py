"""Programs written for aio-pika and aiormq run unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aio_pika
import aiormq
import anyio
import pytest
from aio_pika import DeliveryMode, ExchangeType, Message
from aio_pika.exceptions import DeliveryError
from aio_pika.patterns import RPC

from tests.helpers import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractRobustConnection

    from tests.helpers import RunningBroker


@pytest.fixture
async def connection(broker: RunningBroker) -> AsyncIterator[AbstractRobustConnection]:
    """A robust connection."""
    connection = await aio_pika.connect_robust(broker.url())
    async with connection:
        yield connection


@pytest.fixture
async def channel(connection: AbstractRobustConnection) -> AbstractChannel:
    """A channel with publisher confirms, as aio-pika opens them."""
    return await connection.channel()


async def test_publish_consume_ack(channel: AbstractChannel, name: str) -> None:
    queue = await channel.declare_queue(name, durable=True)
    await channel.set_qos(prefetch_count=10)
    for number in range(50):
        message = Message(b"%d" % number, delivery_mode=DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, name)
    bodies = []
    async with queue.iterator(timeout=DEADLINE_S) as messages:
        async for received in messages:
            async with received.process():
                bodies.append(received.body)
            if len(bodies) == 50:
                break
    assert bodies == [b"%d" % number for number in range(50)]
    await queue.delete()


async def test_many_publishes_at_once_are_all_confirmed(
    channel: AbstractChannel, name: str
) -> None:
    # T10: aiormq waits for ever if a confirm names a tag that is not outstanding.
    queue = await channel.declare_queue(name)
    with anyio.fail_after(DEADLINE_S):
        async with anyio.create_task_group() as tasks:
            for number in range(200):
                message = Message(b"%d" % number)
                tasks.start_soon(channel.default_exchange.publish, message, name)
    assert (await queue.purge()).message_count == 200


async def test_an_unroutable_message_is_an_error(
    connection: AbstractRobustConnection, name: str
) -> None:
    # T9: aiormq finds the message by its id, and only if the return precedes the ack.
    channel = await connection.channel(on_return_raises=True)
    with pytest.raises(DeliveryError):
        await channel.default_exchange.publish(Message(b"lost"), f"{name}-nobody")
    await channel.declare_queue(name, exclusive=True)
    await channel.default_exchange.publish(Message(b"one"), name)


async def test_reject_requeue_and_get(channel: AbstractChannel, name: str) -> None:
    queue = await channel.declare_queue(name)
    await channel.default_exchange.publish(Message(b"one", headers={"n": 1}), name)
    first = await queue.get(timeout=DEADLINE_S)
    await first.reject(requeue=True)
    second = await queue.get(timeout=DEADLINE_S)
    assert (second.body, second.redelivered, second.headers) == (b"one", True, {"n": 1})
    await second.ack()
    assert await queue.get(fail=False) is None


async def test_a_topic_exchange_and_exchange_bindings(channel: AbstractChannel, name: str) -> None:
    topics = await channel.declare_exchange(name, ExchangeType.TOPIC, auto_delete=True)
    inner = await channel.declare_exchange(f"{name}-2", ExchangeType.FANOUT, auto_delete=True)
    await inner.bind(topics, "logs.#")
    queue = await channel.declare_queue(exclusive=True)
    await queue.bind(inner)
    await topics.publish(Message(b"one"), "logs.error")
    message = await queue.get(timeout=DEADLINE_S, no_ack=True)
    assert (message.routing_key, message.exchange) == ("logs.error", name)


async def test_transactions(connection: AbstractRobustConnection, name: str) -> None:
    channel = await connection.channel(publisher_confirms=False)
    queue = await channel.declare_queue(name)
    async with channel.transaction():
        await channel.default_exchange.publish(Message(b"one"), name)
    with pytest.raises(RuntimeError):  # noqa: PT012
        async with channel.transaction():
            await channel.default_exchange.publish(Message(b"lost"), name)
            raise RuntimeError
    assert (await queue.get(timeout=DEADLINE_S, no_ack=True)).body == b"one"
    assert await queue.get(fail=False) is None


async def test_remote_procedure_calls(connection: AbstractRobustConnection, name: str) -> None:
    async def double(*, number: int) -> int:
        return 2 * number

    channel = await connection.channel()
    rpc = await RPC.create(channel)
    await rpc.register(name, double, auto_delete=True)
    with anyio.fail_after(DEADLINE_S):
        assert [await rpc.call(name, {"number": n}) for n in range(5)] == [0, 2, 4, 6, 8]
    await rpc.close()


async def test_a_robust_connection_comes_back(broker: RunningBroker, name: str) -> None:
    # T18: its exclusive queue and its consumer are declared again.
    connection = await aio_pika.connect_robust(broker.url(), reconnect_interval=0.05)
    async with connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(name, exclusive=True)
        seen: list[bytes] = []
        done = anyio.Event()
        back = anyio.Event()

        async def on_message(message: AbstractIncomingMessage) -> None:
            seen.append(message.body)
            done.set()

        await queue.consume(on_message, no_ack=True)
        connection.reconnect_callbacks.add(lambda *_: back.set())
        assert connection.transport is not None
        await connection.transport.connection.close(ConnectionResetError("cut"))
        with anyio.fail_after(DEADLINE_S):
            await back.wait()
            await channel.default_exchange.publish(Message(b"after"), name)
            await done.wait()
        assert seen == [b"after"]


async def test_a_consumer_of_a_deleted_queue_is_told(
    broker: RunningBroker, connection: AbstractRobustConnection, name: str
) -> None:
    # T7
    consuming = await aiormq.connect(broker.url())
    channel: Any = await consuming.channel()
    await channel.queue_declare(name)

    async def on_message(message: aiormq.abc.DeliveredMessage) -> None:
        raise AssertionError(message)

    answer = await channel.basic_consume(name, on_message)
    other = await connection.channel()
    await other.queue_delete(name)
    with anyio.fail_after(DEADLINE_S):
        while answer.consumer_tag in channel.consumers:
            await anyio.lowlevel.checkpoint()
    await consuming.close()


async def test_aiormq_channels_close_with_the_reason(broker: RunningBroker, name: str) -> None:
    connection = await aiormq.connect(broker.url())
    channel = await connection.channel()
    with pytest.raises(aiormq.exceptions.ChannelNotFoundEntity) as error:
        await channel.queue_declare(name, passive=True)
    assert f"no queue '{name}'" in str(error.value)
    await (await connection.channel()).queue_declare(name, exclusive=True)
    await connection.close()
