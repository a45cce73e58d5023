"""Streams through real sockets, by unmodified clients (FEATURES A11.4-A11.10, A8.16, S8)."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aio_pika
import pytest

from tests.features.clients import pika
from tests.management.http_api import HttpApi

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.helpers import RunningBroker

STREAM: dict[str, Any] = {"x-queue-type": "stream"}
SMALL = STREAM | {"x-stream-max-segment-size-bytes": 4096}


@pytest.fixture
def channel(pika_connect: Callable[[], Any]) -> Any:
    """A channel of pika in confirm mode."""
    channel = pika_connect().channel()
    channel.confirm_delivery()
    return channel


@pytest.fixture
def stream(channel: Any, name: str) -> Any:
    """A stream, deleted in the end."""
    channel.queue_declare(name, durable=True, arguments=STREAM)
    yield name
    if channel.is_open:
        channel.queue_delete(name)


def publish(channel: Any, stream: str, *bodies: bytes, **headers: object) -> None:
    properties = pika.BasicProperties(headers=headers or None)
    for body in bodies:
        channel.basic_publish("", stream, body, properties)


def numbered(count: int, first: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(first, first + count)]


class Reader:
    """A consumer that acknowledges what it gets, on a channel of its own."""

    def __init__(self, connection: Any, stream: str, prefetch: int = 100, **arguments: Any) -> None:
        self._connection = connection
        self._channel = connection.channel()
        self._channel.basic_qos(prefetch_count=prefetch)
        self.messages: list[tuple[int, bytes]] = []
        self.acks = True
        named = {"x-stream-" + key.replace("_", "-"): value for key, value in arguments.items()}
        self._channel.basic_consume(stream, self._take, arguments=named)

    def _take(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        assert not method.redelivered
        self.messages.append((properties.headers["x-stream-offset"], body))
        self.last_tag = method.delivery_tag
        if self.acks:
            channel.basic_ack(method.delivery_tag)

    def ack_all(self) -> None:
        self._channel.basic_ack(self.last_tag, multiple=True)

    def read(self, count: int) -> list[tuple[int, bytes]]:
        """Return the first ``count`` messages, fewer if there are no more."""
        deadline = time.monotonic() + 5
        while len(self.messages) < count and time.monotonic() < deadline:
            self._connection.process_data_events(0.05)
        return self.messages

    def read_no_more(self) -> list[tuple[int, bytes]]:
        """Return all that comes in a moment."""
        self._connection.process_data_events(0.2)
        return self.messages


def test_every_consumer_reads_everything(channel: Any, stream: str, pika_connect: Any) -> None:
    publish(channel, stream, *numbered(5))
    expected = list(enumerate(numbered(5)))
    for _ in range(2):
        assert Reader(pika_connect(), stream, offset="first").read(5) == expected


@pytest.mark.parametrize(
    ("offset", "first"),
    [
        *[("first", 0), ("last", 9), (0, 0), (4, 4), (-3, 0), ("1h", 0), ("10D", 0)],
        (datetime(2020, 1, 1, tzinfo=UTC), 0),
    ],
)
def test_a_consumer_begins_where_it_wants(
    offset: object, first: int, channel: Any, stream: str, pika_connect: Any
) -> None:
    publish(channel, stream, *numbered(10))
    reader = Reader(pika_connect(), stream, offset=offset)
    assert reader.read(10 - first) == list(enumerate(numbered(10)))[first:]


@pytest.mark.parametrize("offset", ["next", None, datetime(2200, 1, 1, tzinfo=UTC)])
def test_by_default_a_consumer_gets_what_is_to_come(
    offset: object, channel: Any, stream: str, pika_connect: Any
) -> None:
    publish(channel, stream, *numbered(3))
    arguments: dict[str, Any] = {} if offset is None else {"offset": offset}
    reader = Reader(pika_connect(), stream, **arguments)
    assert reader.read_no_more() == []
    publish(channel, stream, b"new")
    assert reader.read(1) == [(3, b"new")]


def test_an_offset_that_is_to_come_is_waited_for(
    channel: Any, stream: str, pika_connect: Any
) -> None:
    publish(channel, stream, b"0")
    reader = Reader(pika_connect(), stream, offset=3)
    publish(channel, stream, *numbered(4, 1))
    assert reader.read(2) == [(3, b"3"), (4, b"4")]


def test_acks_move_credit_and_nothing_else(channel: Any, stream: str, pika_connect: Any) -> None:
    publish(channel, stream, *numbered(10))
    reader = Reader(pika_connect(), stream, prefetch=4, offset="first")
    reader.acks = False
    reader.read(4)
    assert len(reader.read_no_more()) == 4
    reader.ack_all()
    assert len(reader.read(8)) == 8
    assert len(reader.read_no_more()) == 8
    passive = channel.queue_declare(stream, passive=True, durable=True)
    assert passive.method.message_count == 10


def test_many_small_and_some_large_messages_come_in_order(
    channel: Any, stream: str, pika_connect: Any
) -> None:
    bodies = [b"%d:" % number + bytes(number % 7 * 300) for number in range(400)]
    bodies[100] = bytes(300_000)
    bodies[200] = b""
    publish(channel, stream, *bodies)
    reader = Reader(pika_connect(), stream, prefetch=33, offset=50)
    assert reader.read(350) == list(enumerate(bodies))[50:]


def test_what_one_filters_by_is_exact(channel: Any, stream: str, pika_connect: Any) -> None:
    for number, value in enumerate(["de", "fr", None, "de", "it", 5]):
        headers = {} if value is None else {"x-stream-filter-value": value}
        publish(channel, stream, b"%d" % number, **headers)

    def read(count: int, **arguments: Any) -> list[int]:
        reader = Reader(pika_connect(), stream, offset="first", **arguments)
        reader.read(count)
        return [offset for offset, _ in reader.read_no_more()]

    assert read(2, filter="de") == [0, 3]
    assert read(3, filter=["de", "it"]) == [0, 3, 4]
    assert read(3, filter="fr", match_unfiltered=True) == [1, 2, 5]
    assert read(0, filter="xx") == []
    assert read(6, match_unfiltered=False) == [0, 1, 2, 3, 4, 5]


def test_old_segments_go_when_there_is_too_much(channel: Any, name: str, pika_connect: Any) -> None:
    channel.queue_declare(name, durable=True, arguments=SMALL | {"x-max-length-bytes": 10_000})
    publish(channel, name, *[bytes(1000)] * 60)
    reader = Reader(pika_connect(), name, offset="first")
    reader.read(3)
    offsets = [offset for offset, _ in reader.read_no_more()]
    assert offsets == list(range(60 - len(offsets), 60))
    assert 3 <= len(offsets) <= 12
    channel.queue_delete(name)


def test_a_policy_limits_a_stream_that_is_there(
    channel: Any, name: str, broker: RunningBroker
) -> None:
    channel.queue_declare(name, durable=True, arguments=SMALL)
    publish(channel, name, *[bytes(1000)] * 30)
    api = HttpApi(broker.host, broker.management_port, broker.vhost)
    policy = {"pattern": f"^{name}$", "definition": {"max-length-bytes": 5000}}
    assert api("PUT", f"/policies/{{v}}/{name}", policy).status == 201
    deadline = time.monotonic() + 5
    while api("GET", f"/queues/{{v}}/{name}").body["messages"] > 8:
        assert time.monotonic() < deadline
    shown = api("GET", f"/queues/{{v}}/{name}").body
    assert shown["type"] == "stream"
    assert shown["policy"] == name
    api("DELETE", f"/policies/{{v}}/{name}")
    channel.queue_delete(name)


def test_an_exchange_serves_streams_and_queues_together(
    channel: Any, stream: str, pika_connect: Any
) -> None:
    queue = channel.queue_declare("", exclusive=True).method.queue
    for name in (stream, queue):
        channel.queue_bind(name, "amq.topic", f"{stream}.#")
    channel.basic_publish("amq.topic", f"{stream}.a", b"both", mandatory=True)
    assert channel.basic_get(queue, auto_ack=True)[2] == b"both"
    assert Reader(pika_connect(), stream, offset="first").read(1) == [(0, b"both")]
    channel.queue_unbind(stream, "amq.topic", f"{stream}.#")


def test_dead_letters_end_in_a_stream(channel: Any, stream: str, pika_connect: Any) -> None:
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": stream}
    queue = channel.queue_declare(
        f"{stream}.source", durable=True, arguments=arguments
    ).method.queue
    publish(channel, queue, b"dead")
    method = channel.basic_get(queue)[0]
    channel.basic_reject(method.delivery_tag, requeue=False)
    assert Reader(pika_connect(), stream, offset="first").read(1) == [(0, b"dead")]
    channel.queue_delete(queue)


def test_a_transaction_is_in_a_stream_after_its_commit_and_not_before(
    stream: str, pika_connect: Any
) -> None:
    channel = pika_connect().channel()
    channel.tx_select()
    reader = Reader(pika_connect(), stream, offset="first")
    publish(channel, stream, b"void")
    channel.tx_rollback()
    publish(channel, stream, b"1", b"2")
    assert reader.read_no_more() == []
    channel.tx_commit()
    assert reader.read(2) == [(0, b"1"), (1, b"2")]


@pytest.mark.parametrize(
    ("call", "code", "text"),
    [
        (lambda c, q: c.basic_get(q), 540, "basic.get not supported by stream queues"),
        (lambda c, q: c.queue_purge(q), 540, "queue.purge not supported by stream queues"),
        (lambda c, q: c.basic_consume(q, print), 406, "consumer prefetch count is not set for"),
    ],
)
def test_what_streams_refuse(
    call: Any, code: int, text: str, stream: str, pika_connect: Any
) -> None:
    channel = pika_connect().channel()
    with pytest.raises(pika.exceptions.AMQPError) as caught:
        call(channel, stream)
    assert caught.value.args[0] == code
    assert text in caught.value.args[1]


@pytest.mark.parametrize("settle", ["basic_nack", "basic_reject"])
def test_nothing_is_given_back(settle: str, channel: Any, stream: str, pika_connect: Any) -> None:
    publish(channel, stream, b"x")
    connection = pika_connect()
    other = connection.channel()
    other.basic_qos(prefetch_count=5)

    def refuse(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        getattr(channel, settle)(method.delivery_tag)

    other.basic_consume(stream, refuse, arguments={"x-stream-offset": "first"})
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as caught:
        other.start_consuming()
    assert caught.value.args[0] == 540
    assert "basic.nack and basic.reject not supported by stream" in caught.value.args[1]


def test_consumers_are_told_when_their_stream_is_deleted(
    channel: Any, stream: str, pika_connect: Any
) -> None:
    connection = pika_connect()
    other = connection.channel()
    other.basic_qos(prefetch_count=5)
    cancelled: list[object] = []
    other.add_on_cancel_callback(cancelled.append)
    other.basic_consume(stream, print)
    channel.queue_delete(stream)
    channel.queue_declare(stream, durable=True, arguments=STREAM)
    while not cancelled:
        connection.process_data_events(5)
    assert channel.queue_declare(stream, passive=True).method.message_count == 0


async def test_aio_pika_reads_from_the_middle(broker: RunningBroker, name: str) -> None:
    connection = await aio_pika.connect(broker.url())
    async with connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=20)
        queue = await channel.declare_queue(name, durable=True, arguments=STREAM)
        for body in numbered(50):
            await channel.default_exchange.publish(aio_pika.Message(body), name)
        found = []
        async with queue.iterator(arguments={"x-stream-offset": 20}) as messages:
            async for message in messages:
                await message.ack()
                found.append((message.headers["x-stream-offset"], message.body))
                if len(found) == 30:
                    break
        assert found == list(enumerate(numbered(50)))[20:]
        await queue.delete()


def test_a_super_stream_keeps_a_key_in_one_partition(
    channel: Any, name: str, pika_connect: Any
) -> None:
    channel.exchange_declare(name, "direct", durable=True, arguments={"x-super-stream": True})
    for index in range(3):
        partition = f"{name}-{index}"
        channel.queue_declare(partition, durable=True, arguments=STREAM)
        order = {"x-stream-partition-order": index}
        channel.queue_bind(partition, name, str(index), arguments=order)
    for number in range(30):
        channel.basic_publish(
            name, f"customer {number % 10}", b"%d" % (number % 10), mandatory=True
        )
    channel.basic_publish(name, "1", b"by index", mandatory=True)
    found = []
    for index in range(3):
        reader = Reader(pika_connect(), f"{name}-{index}", offset="first")
        found.append([body for _, body in reader.read_no_more()])
        channel.queue_delete(f"{name}-{index}")
    channel.exchange_delete(name)
    assert sum(map(len, found)) == 31
    assert found[1][-1] == b"by index"
    for body in numbered(10):
        assert sorted(part.count(body) for part in found) == [0, 0, 3]
