"""A stream as a queue: deliveries, credit, the end of a consumer (FEATURES A11.5, A17.4)."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from pamqp import commands

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.stream_queue import StreamQueue
from amqpbroker.config import Config
from amqpbroker.storage.log import LogUnavailable
from amqpbroker.testing.virtual_loop import run
from tests.broker.client import MemoryClient, connect

STREAM = {"x-queue-type": ("S", b"stream")}
FIRST = {"x-stream-offset": ("S", b"first")}


def with_stream(program: Any) -> Any:
    """Run ``program(broker, client, queue)`` with a stream ``s`` and its jobs."""

    async def main() -> Any:
        broker = Broker(Config(is_memory=True))
        broker.add_defaults()
        client = connect(broker, 1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(broker.streams.run)
            client.declare("s", durable=True, arguments=STREAM)
            queue = broker.vhosts["/"].queues["s"]
            assert isinstance(queue, StreamQueue)
            try:
                return await program(broker, client, queue)
            finally:
                tasks.cancel_scope.cancel()

    return run(main)


async def settled() -> None:
    """Let jobs come to their end."""
    await anyio.sleep(0.1)


def begin(client: MemoryClient, prefetch: int, **arguments: Any) -> None:
    client.call(commands.Basic.Qos(0, prefetch, False), commands.Basic.QosOk)
    client.consume("s", {**FIRST, **arguments})


def test_a_full_connection_gets_no_more_until_it_has_read() -> None:
    async def program(broker: Broker, client: MemoryClient, queue: StreamQueue) -> None:
        client.publish("s", *[bytes(100_000)] * 20)
        await settled()
        reader = connect(broker, 1)
        begin(reader, 1000)
        await settled()
        session = reader.session
        assert 400_000 < session.wire.outgoing_size < 800_000
        for _ in range(20):
            assert len(reader.deliver().body) == 100_000
            session.drained()
            broker.flush()
            await settled()

    with_stream(program)


def test_credit_comes_back_with_acks_of_that_channel_only() -> None:
    async def program(broker: Broker, client: MemoryClient, queue: StreamQueue) -> None:
        client.publish("s", *[b"%d" % number for number in range(10)])
        await settled()
        readers = [connect(broker, 1), connect(broker, 1)]
        for reader in readers:
            begin(reader, 2)
        await settled()
        assert queue.unsettled_count == 4
        assert [reader.delivers(2) for reader in readers] == [[b"0", b"1"]] * 2
        readers[0].ack(2, multiple=True)
        await settled()
        assert readers[0].delivers(2) == [b"2", b"3"]
        assert queue.unsettled_count == 4
        readers[0].session.close()
        assert queue.unsettled_count == 2
        assert len(queue.ready) == 10

    with_stream(program)


def test_no_consumer_starves_under_a_global_prefetch() -> None:
    async def program(broker: Broker, client: MemoryClient, queue: StreamQueue) -> None:
        reader = connect(broker, 1)
        reader.qos(10)
        for tag in ("a", "b"):
            reader.consume("s", FIRST, tag=tag)
        reader.qos(1, is_global=True)
        client.publish("s", *[b"%d" % number for number in range(10)])
        await settled()
        got: list[str] = []
        for _ in range(6):
            message = reader.deliver()
            got.append(str(message.command["consumer_tag"]) + message.body.decode())
            reader.ack(message.tag)
            await settled()
        assert got == ["a0", "a1", "b0", "a2", "b1", "a3"]
        assert reader.deliver().command["consumer_tag"] == "b"
        reader.cancel("a")
        assert list(reader.channel().blocked) == [reader.consumer("b")]

    with_stream(program)


def test_a_consumer_whose_messages_cannot_be_read_is_cancelled() -> None:
    async def program(broker: Broker, client: MemoryClient, queue: StreamQueue) -> None:
        client.publish("s", b"x")
        await settled()

        async def fails(offset: int) -> int:
            raise LogUnavailable("the disk is away")

        queue.stream.partition.locate = fails  # type: ignore[method-assign]
        client.session.capabilities = frozenset({"consumer_cancel_notify"})
        begin(client, 5)
        await settled()
        client.read(commands.Basic.Cancel)
        assert not len(queue.consumers)
        assert not client.session.channels[1].consumers

    with_stream(program)


@pytest.mark.parametrize("offset", [("T", 1), ("S", b"first")])
def test_a_consumer_that_goes_while_it_is_read_for_gets_nothing(offset: tuple[str, Any]) -> None:
    async def program(broker: Broker, client: MemoryClient, queue: StreamQueue) -> None:
        client.publish("s", b"x")
        await settled()
        reader = connect(broker, 1)
        begin(reader, 5, **{"x-stream-offset": offset})
        reader.session.close()
        await settled()
        assert not len(queue.consumers)
        assert queue.unsettled_count == 0

    with_stream(program)


def test_retention_that_is_faster_than_a_consumer_takes_it_along() -> None:
    async def program(broker: Broker, client: MemoryClient, queue: StreamQueue) -> None:
        queue.stream.settings = broker.vhosts["/"].queues["s"].settings
        client.publish("s", *[b"%d" % number for number in range(5)])
        await settled()
        reader = connect(broker, 1)
        begin(reader, 1)
        await settled()
        assert reader.delivers(1) == [b"0"]
        consumer = next(iter(queue.consumers))
        consumer.chunk.clear()  # type: ignore[attr-defined]
        consumer.next_batch = 0  # type: ignore[attr-defined]
        consumer.loaded_to = 1  # type: ignore[attr-defined]
        partition = queue.stream.partition
        log = await partition.open()
        client.publish("s", *[bytes(1 << 20)] * 40)
        await settled()
        await partition.retain(size=0, age_ms=None, now_ms=0)
        assert partition.first > 1
        assert (await log.extent()).first > 0
        reader.ack(1)
        await settled()
        assert len(reader.deliver().body) == 1 << 20

    with_stream(program)
