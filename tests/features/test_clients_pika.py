"""Programs written for pika run unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.features.clients import pika

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.helpers import RunningBroker

PERSISTENT = pika.BasicProperties(delivery_mode=2, content_type="text/plain")


@pytest.fixture
def channel(pika_connect: Callable[[], Any]) -> Any:
    """A channel of a connection of its own."""
    return pika_connect().channel()


def take(channel: Any, queue: str, count: int, **options: Any) -> list[tuple[Any, Any, bytes]]:
    """Consume ``count`` messages without settling them, then cancel."""
    taken: list[tuple[Any, Any, bytes]] = []
    for method, properties, body in channel.consume(queue, inactivity_timeout=8, **options):
        assert method is not None, f"only {len(taken)} of {count} messages came"
        taken.append((method, properties, body))
        if len(taken) == count:
            break
    return taken


def test_publish_consume_ack(channel: Any, name: str) -> None:
    channel.queue_declare(name, durable=True)
    for number in range(100):
        channel.basic_publish("", name, b"%d" % number, PERSISTENT)
    for method, properties, _ in (taken := take(channel, name, 100)):
        assert properties.content_type == "text/plain"
        channel.basic_ack(method.delivery_tag)
    assert [body for _, _, body in taken] == [b"%d" % number for number in range(100)]
    channel.cancel()
    assert channel.queue_declare(name, passive=True).method.message_count == 0


def test_a_callback_consumer(channel: Any, name: str) -> None:
    channel.queue_declare(name)
    seen = []

    def on_message(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        seen.append((body, properties.headers))
        channel.basic_ack(method.delivery_tag)
        if len(seen) == 3:
            channel.stop_consuming()

    channel.basic_qos(prefetch_count=1)
    channel.basic_consume(name, on_message)
    for number in range(3):
        properties = pika.BasicProperties(headers={"n": number, "text": "é", "list": [1, "a"]})
        channel.basic_publish("", name, b"body", properties)
    channel.start_consuming()
    assert seen == [(b"body", {"n": n, "text": "é", "list": [1, "a"]}) for n in range(3)]


def test_confirms_and_unroutable_messages(channel: Any, name: str) -> None:
    # T9: pika raises only if the return comes before the ack.
    channel.confirm_delivery()
    channel.queue_declare(name)
    channel.basic_publish("", name, b"one", PERSISTENT, mandatory=True)
    with pytest.raises(pika.exceptions.UnroutableError) as error:
        channel.basic_publish("", f"{name}-nobody", b"lost", mandatory=True)
    assert [message.body for message in error.value.messages] == [b"lost"]


def test_a_refused_message_is_nacked(channel: Any, name: str) -> None:
    channel.confirm_delivery()
    arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
    channel.queue_declare(name, arguments=arguments)
    channel.basic_publish("", name, b"one")
    with pytest.raises(pika.exceptions.NackError):
        channel.basic_publish("", name, b"two")


def test_reject_with_requeue_and_get(channel: Any, name: str) -> None:
    channel.queue_declare(name)
    for body in (b"one", b"two"):
        channel.basic_publish("", name, body)
    method, _, body = channel.basic_get(name)
    channel.basic_nack(method.delivery_tag, requeue=True)
    method, _, body = channel.basic_get(name)
    assert (method.redelivered, body, method.message_count) == (True, b"one", 1)
    channel.basic_reject(method.delivery_tag, requeue=False)
    assert channel.basic_get(name, auto_ack=True)[2] == b"two"
    assert channel.basic_get(name) == (None, None, None)


def test_transactions(channel: Any, name: str) -> None:
    channel.queue_declare(name)
    channel.tx_select()
    channel.basic_publish("", name, b"lost")
    channel.tx_rollback()
    channel.basic_publish("", name, b"one")
    channel.tx_commit()
    assert channel.basic_get(name, auto_ack=True)[2] == b"one"
    assert channel.basic_get(name)[0] is None


def test_a_channel_error_leaves_the_connection_open(channel: Any, name: str) -> None:
    connection = channel.connection
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as error:
        channel.queue_declare(name, passive=True)
    assert error.value.reply_code == 404
    assert error.value.reply_text.startswith(f"NOT_FOUND - no queue '{name}' in vhost '")
    connection.channel(channel.channel_number).queue_declare(name)


def test_consumer_cancel_notification(
    channel: Any, pika_connect: Callable[[], Any], name: str
) -> None:
    channel.queue_declare(name)
    cancelled = []
    channel.add_on_cancel_callback(lambda frame: cancelled.append(frame.method.consumer_tag))
    tag = channel.basic_consume(name, lambda *_: None)
    pika_connect().channel().queue_delete(name)
    channel.start_consuming()
    assert cancelled == [tag]


def test_recover(channel: Any, name: str) -> None:
    channel.queue_declare(name)
    channel.basic_publish("", name, b"one")
    channel.basic_get(name)
    channel.basic_recover(requeue=True)
    method, _, body = channel.basic_get(name, auto_ack=True)
    assert (method.redelivered, body) == (True, b"one")


def test_remote_procedure_call(pika_connect: Callable[[], Any], name: str) -> None:
    server, requester = pika_connect().channel(), pika_connect().channel()
    server.queue_declare(name)
    answers = []

    def on_answer(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        answers.append((properties.correlation_id, body))
        channel.stop_consuming()

    requester.basic_consume("amq.rabbitmq.reply-to", on_answer, auto_ack=True)
    ask = pika.BasicProperties(reply_to="amq.rabbitmq.reply-to", correlation_id="7")
    requester.basic_publish("", name, b"2+2", ask)
    [(method, properties, _)] = take(server, name, 1)
    server.basic_ack(method.delivery_tag)
    reply = pika.BasicProperties(correlation_id=properties.correlation_id)
    server.basic_publish("", properties.reply_to, b"4", reply)
    requester.start_consuming()
    assert answers == [("7", b"4")]


def test_exchanges_of_every_type(channel: Any, name: str) -> None:
    queue = channel.queue_declare("", exclusive=True).method.queue
    for kind in ("direct", "fanout", "topic", "headers"):
        exchange = f"{name}-{kind}"
        channel.exchange_declare(exchange, kind, auto_delete=True)
        channel.queue_bind(queue, exchange, "a.b", arguments={"x-match": "any", "h": 1})
        channel.basic_publish(exchange, "a.b", kind, pika.BasicProperties(headers={"h": 1}))
        assert channel.basic_get(queue, auto_ack=True)[2] == kind.encode()
        channel.queue_unbind(queue, exchange, "a.b", arguments={"x-match": "any", "h": 1})


def test_a_message_of_16_mib(channel: Any, name: str) -> None:
    body = bytes(range(256)) * 65536
    channel.confirm_delivery()
    channel.queue_declare(name)
    channel.basic_publish("", name, body)
    assert channel.basic_get(name, auto_ack=True)[2] == body


def test_authentication_failures_are_told_apart(broker: RunningBroker, name: str) -> None:
    # T15
    wrong = pika.URLParameters(broker.url())
    wrong.credentials = pika.PlainCredentials("guest", "wrong")
    with pytest.raises(pika.exceptions.ProbableAuthenticationError):
        pika.BlockingConnection(wrong)
    with pytest.raises(pika.exceptions.ProbableAccessDeniedError, match=f"vhost {name} not found"):
        pika.BlockingConnection(pika.URLParameters(broker.url(name)))


def test_heartbeats_go_both_ways(broker: RunningBroker) -> None:
    parameters = pika.URLParameters(broker.url(query="?heartbeat=1"))
    connection = pika.BlockingConnection(parameters)
    connection.process_data_events(time_limit=3)
    assert connection.is_open
    connection.close()


def test_update_secret(pika_connect: Callable[[], Any]) -> None:
    connection = pika_connect()
    connection.update_secret("guest", "renewed")
    assert connection.channel().is_open
