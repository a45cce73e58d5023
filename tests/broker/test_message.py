"""A message as exchanges see it."""

from __future__ import annotations

from amqpbroker.broker.message import Delivery, Message, stored_properties, without_bcc
from amqpbroker.broker.queue import Queue
from amqpbroker.wire.content import Publication
from amqpbroker.wire.properties import decode_properties
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


def test_blind_copies_are_hidden_but_not_forgotten() -> None:
    headers = {name: Field("A", (Field("S", name.encode()),)) for name in ("BCC", "CC")}
    sent = Publication.of("x", "key", {"headers": headers, "app_id": "a"}, 4)
    seen = without_bcc(sent)
    assert list(seen.headers) == ["CC"]
    assert b"BCC" not in seen.raw_properties
    assert list(seen.extra_keys) == ["CC", "BCC"]
    assert (seen.exchange, seen.routing_key, seen.body_size) == ("x", "key", 4)


def test_what_is_stored_brings_blind_copies_back() -> None:
    headers = {"BCC": Field("A", (Field("S", "schlüssel".encode()),)), "a": Field("I", 1)}
    seen = without_bcc(Publication.of("x", "key", {"headers": headers}, 4))
    raw = stored_properties(seen)
    again = without_bcc(
        Publication("x", "key", raw_properties=raw, properties=decode_properties(raw), body_size=4)
    )
    assert again.raw_properties == seen.raw_properties
    assert again.extra_keys == seen.extra_keys == ["schlüssel"]


def test_without_blind_copies_nothing_is_copied() -> None:
    sent = Publication.of("x", "key", {"headers": {"a": Field("I", 1)}}, 4)
    assert without_bcc(sent) is sent
    assert stored_properties(sent) is sent.raw_properties


def test_a_delivery_knows_its_place() -> None:
    queue = Queue("q", is_durable=False, is_auto_delete=False, arguments={})
    message = Message(Publication.of("", "q", {}, 0), b"")
    delivery = Delivery(1, queue, 7, message, None)
    assert (delivery.tag, delivery.queue, delivery.position) == (1, queue, 7)
    assert delivery.message is message
    assert delivery.consumer is None
