"""The recent history exchange: a fanout with a memory."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.errors import SoftError
from tests.routing.samples import PlainMessage, exchange_of, queues_of, to_exchange, to_queue


@given(st.integers(1, 5), st.lists(st.booleans(), max_size=12))
def test_keeps_the_last_messages_oldest_first(length: int, are_stored: list[bool]) -> None:
    arguments = {"x-recent-history-length": ("I", length)}
    exchange = exchange_of("x-recent-history", arguments=arguments)
    messages = [
        PlainMessage(headers={"x-recent-history-no-store": ("t", not is_stored)})
        for is_stored in are_stored
    ]
    for message in messages:
        queues_of(exchange, message)
    stored = [message for message, is_stored in zip(messages, are_stored, strict=True) if is_stored]
    assert list(exchange.history()) == stored[-length:]


def test_keeps_twenty_unless_told() -> None:
    exchange = exchange_of("x-recent-history")
    for number in range(30):
        queues_of(exchange, PlainMessage(str(number)))
    assert [message.routing_key for message in exchange.history()] == [
        str(number) for number in range(10, 30)
    ]


@pytest.mark.parametrize("value", [("S", b"true"), ("I", 1), ("t", False), ("V", None)])
def test_only_a_true_boolean_keeps_a_message_out(value: tuple[str, Any]) -> None:
    exchange = exchange_of("x-recent-history")
    queues_of(exchange, PlainMessage(headers={"x-recent-history-no-store": value}))
    assert len(exchange.history()) == 1


def test_leads_to_every_bound_queue_and_remembers_once() -> None:
    exchange = exchange_of("x-recent-history", to_queue("a"), to_queue("b", "k"))
    assert queues_of(exchange, PlainMessage("z", extra_keys=("y",))) == ["a", "b"]
    assert len(exchange.history()) == 1


def test_remembers_what_comes_from_another_exchange() -> None:
    history = exchange_of("x-recent-history", name="h")
    queues_of(exchange_of("fanout", to_exchange("h")), PlainMessage("k"), [history])
    assert [message.routing_key for message in history.history()] == ["k"]


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        (("I", 0), "0"),
        (("l", -3), "-3"),
        (("B", 5), "5"),
        (("u", 5), "5"),
        (("i", 5), "5"),
        (("S", b"5"), '<<"5">>'),
        (("t", True), "true"),
        (("V", None), "undefined"),
        (("d", 1.5), "1.5"),
    ],
)
def test_a_bad_length_is_refused_in_rabbitmqs_words(value: tuple[str, Any], printed: str) -> None:
    with pytest.raises(SoftError) as caught:
        exchange_of("x-recent-history", arguments={"x-recent-history-length": value})
    assert caught.value.reply_text == (
        f"PRECONDITION_FAILED - Invalid argument {printed}, "
        "'x-recent-history-length' must be a positive integer"
    )
