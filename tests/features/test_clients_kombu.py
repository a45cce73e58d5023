"""Programs written for kombu and py-amqp run unchanged; Celery stands on both."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from tests.features.clients import amqp, kombu
from tests.helpers import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.helpers import RunningBroker


@pytest.fixture
def connection(broker: RunningBroker) -> Iterator[Any]:
    """A kombu connection over py-amqp."""
    with kombu.Connection(broker.url(), transport="pyamqp") as connection:
        yield connection


@pytest.fixture
def amqp_connection(broker: RunningBroker) -> Iterator[Any]:
    """A py-amqp connection with publisher confirms."""
    connection = amqp.Connection(
        host=f"{broker.host}:{broker.port}", virtual_host=broker.vhost, confirm_publish=True
    )
    connection.connect()
    yield connection
    connection.close()


def drain(connection: Any, seen: list[Any], count: int) -> None:
    """Let the connection work until ``seen`` has ``count`` items."""
    while len(seen) < count:
        connection.drain_events(timeout=DEADLINE_S)


def test_a_producer_and_a_consumer(connection: Any, name: str) -> None:
    exchange = kombu.Exchange(name, "topic", durable=True)
    queue = kombu.Queue(name, exchange, routing_key="jobs.#", durable=True)
    seen: list[Any] = []

    def on_message(body: Any, message: Any) -> None:
        seen.append((body, message.delivery_info["routing_key"], message.properties["priority"]))
        message.ack()

    producer = connection.Producer(serializer="json")
    with connection.Consumer(queue, callbacks=[on_message], accept=["json"]) as consumer:
        consumer.qos(prefetch_count=2)
        for number in range(5):
            producer.publish(
                {"number": number}, exchange=exchange, routing_key="jobs.add", declare=[queue],
                priority=3,
            )  # fmt: skip
        drain(connection, seen, 5)
    assert seen == [({"number": number}, "jobs.add", 3) for number in range(5)]


def test_requeue_and_reject(connection: Any, name: str) -> None:
    queue = connection.SimpleQueue(name)
    queue.put({"n": 1})
    first = queue.get(timeout=DEADLINE_S)
    first.requeue()
    second = queue.get(timeout=DEADLINE_S)
    assert second.payload == {"n": 1}
    assert second.delivery_info["redelivered"]
    second.reject()
    with pytest.raises(queue.Empty):
        queue.get(block=False)
    queue.close()


def test_a_compressed_message_with_headers(connection: Any, name: str) -> None:
    queue = connection.SimpleQueue(name)
    payload = {"text": "é" * 10_000}
    queue.put(payload, headers={"id": "é", "retries": 0, "eta": None}, compression="zlib")
    message = queue.get(timeout=DEADLINE_S)
    assert message.payload == payload
    assert message.headers["id"] == "é"
    assert message.headers["eta"] is None
    message.ack()
    queue.close()


def test_broadcast_queues_delete_themselves(connection: Any, name: str) -> None:
    # How Celery's remote control works: fanout to a queue of each worker.
    exchange = kombu.Exchange(name, "fanout", durable=False, auto_delete=True)
    seen: list[Any] = []
    queues = [
        kombu.Queue(f"{name}-{worker}", exchange, durable=False, auto_delete=True)
        for worker in range(3)
    ]
    consumer = connection.Consumer(queues, on_message=seen.append, no_ack=True)
    with consumer:
        connection.Producer().publish("ping", exchange=exchange, routing_key="")
        drain(connection, seen, 3)
    with pytest.raises(connection.channel_errors):
        connection.default_channel.queue_declare(f"{name}-0", passive=True)


def test_a_purge_counts_ready_messages(connection: Any, name: str) -> None:
    # T27
    queue = kombu.Queue(name)(connection.default_channel)
    queue.declare()
    producer = connection.Producer()
    for number in range(3):
        producer.publish({"n": number}, exchange="", routing_key=name)
    assert queue.get() is not None
    assert queue.purge() == 2


def test_py_amqp_publish_and_consume(amqp_connection: Any, name: str) -> None:
    channel = amqp_connection.channel()
    channel.queue_declare(name, durable=True, auto_delete=False)
    seen: list[Any] = []
    channel.basic_qos(0, 1, False)
    channel.basic_consume(name, callback=seen.append)
    for number in range(3):
        channel.basic_publish(
            amqp.Message(b"%d" % number, delivery_mode=2, application_headers={"n": number}),
            routing_key=name,
        )
    for count in range(1, 4):
        drain(amqp_connection, seen, count)
        channel.basic_ack(seen[-1].delivery_tag)
    assert [(m.body, m.headers["n"]) for m in seen] == [(b"%d" % n, n) for n in range(3)]


def test_py_amqp_raises_the_error_of_the_code(amqp_connection: Any, name: str) -> None:
    channel = amqp_connection.channel()
    with pytest.raises(amqp.NotFound) as error:
        channel.queue_declare(name, passive=True)
    assert error.value.reply_text.startswith(f"NOT_FOUND - no queue '{name}'")
    again = amqp_connection.channel()
    again.queue_declare(name, arguments={"x-max-priority": 5}, auto_delete=False)
    with pytest.raises(amqp.PreconditionFailed):
        again.queue_declare(name, arguments={"x-max-priority": 6}, auto_delete=False)


def test_py_amqp_transactions_and_flow(broker: RunningBroker, name: str) -> None:
    address = f"{broker.host}:{broker.port}"
    with amqp.Connection(host=address, virtual_host=broker.vhost) as connection:
        channel = connection.channel()
        channel.queue_declare(name, auto_delete=False)
        channel.tx_select()
        channel.basic_publish(amqp.Message("one"), routing_key=name)
        channel.tx_commit()
        channel.basic_publish(amqp.Message("lost"), routing_key=name)
        channel.tx_rollback()
        channel.flow(True)
        assert channel.basic_get(name).body == "one"
        assert channel.basic_get(name) is None


def test_py_amqp_heartbeats(broker: RunningBroker) -> None:
    connection = amqp.Connection(
        host=f"{broker.host}:{broker.port}", virtual_host=broker.vhost, heartbeat=1
    )
    with connection:
        for _ in range(8):
            with contextlib.suppress(TimeoutError):
                connection.blocking_read(timeout=0.25)
            connection.heartbeat_tick()
        assert connection.channel().is_open
