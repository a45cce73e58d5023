"""A message as exchanges see it."""

from __future__ import annotations

from amqpbroker.broker.message import Delivery, Message
from amqpbroker.broker.queue import Queue
from amqpbroker.wire.content import Publication
from amqpbroker.wire.table import Field


def test_a_message_shows_what_its_publication_says() -> None:
    headers = {"CC": Field("A", (Field("S", b"b"),)), "n": Field("I", 1)}
    publication = Publication.of("x", "a", {"headers": headers, "message_id": "m"}, 4)
    message = Message(publication, b"body")
    assert message.routing_key == "a"
    assert list(message.extra_keys) == ["b"]
    assert message.headers["n"] == ("I", 1)
    assert message.property("message_id") == "m"
    assert message.property("timestamp") is None
    assert message.run is None


def test_a_delivery_knows_its_place() -> None:
    queue = Queue("q", is_durable=False, is_auto_delete=False, arguments={})
    message = Message(Publication.of("", "q", {}, 0), b"")
    delivery = Delivery(1, queue, 7, message, None)
    assert (delivery.tag, delivery.queue, delivery.position) == (1, queue, 7)
    assert delivery.message is message
    assert delivery.consumer is None
