"""How often a message was delivered in vain, as consumers and the log see it."""

from __future__ import annotations

from amqpbroker.broker.delivery_count import counted, delivery_count, original_of, uncounted
from amqpbroker.broker.expiry import ExpiringMessage
from amqpbroker.broker.message import Message, hide_keys, stored_properties
from amqpbroker.wire.content import Publication
from amqpbroker.wire.table import Field


def message(**headers: Field) -> Message:
    properties = {"headers": headers} if headers else {}
    return Message(Publication.of("x", "key", properties, 1), b"1", None, 7)


def test_the_count_is_a_header_in_the_order_of_names() -> None:
    again = counted(message(z=Field("I", 1), a=Field("S", b"")), 2)
    assert list(again.publication.headers) == ["a", "x-delivery-count", "z"]
    assert again.publication.headers["x-delivery-count"] == Field("l", 2)


def test_the_message_is_the_same_otherwise() -> None:
    first = message()
    again = counted(first, 1)
    assert (again.body, again.sequence, again.run) == (first.body, first.sequence, first.run)
    assert (again.routing_key, again.publication.exchange) == ("key", "x")
    assert delivery_count(first) == 0
    assert delivery_count(again) == 1


def test_a_count_replaces_the_one_before() -> None:
    first = message()
    again = counted(counted(first, 1), 2)
    assert delivery_count(again) == 2
    assert original_of(again.publication) is first.publication
    assert uncounted(again).publication is first.publication
    assert uncounted(first) is first


def test_a_count_of_the_publishers_own_is_hidden_and_comes_back() -> None:
    first = message(**{"x-delivery-count": Field("I", 9)})
    assert counted(first, 1).headers["x-delivery-count"] == Field("l", 1)
    assert uncounted(counted(first, 1)).headers["x-delivery-count"] == Field("I", 9)


def test_what_is_stored_has_no_count_but_the_hidden_keys() -> None:
    first = message()
    assert stored_properties(counted(first, 1).publication) == first.publication.raw_properties
    blind = hide_keys(first.publication, ["k"])
    again = counted(Message(blind, b""), 1)
    assert stored_properties(again.publication) == stored_properties(blind)


def test_a_deadline_stays() -> None:
    again = counted(ExpiringMessage(message(), 5.0), 1)
    assert isinstance(again, ExpiringMessage)
    assert again.deadline == 5.0
