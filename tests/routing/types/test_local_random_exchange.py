"""The local random exchange: as the random one, but choosy about its bindings."""

from __future__ import annotations

import pytest

from amqpbroker.errors import SoftError
from tests.routing.samples import PlainMessage, exchange_of, queues_of, to_exchange, to_queue


def test_draws_one_queue_whatever_the_key() -> None:
    exchange = exchange_of("x-local-random", *map(to_queue, "abc"), pick=lambda count: count - 1)
    assert queues_of(exchange, PlainMessage("any key")) == ["c"]


def test_a_binding_key_is_refused_in_rabbitmqs_words() -> None:
    with pytest.raises(SoftError, match="406 PRECONDITION_FAILED - Non empty binding 'k' key not"):
        exchange_of("x-local-random", to_queue("q", "k"))


def test_an_exchange_is_refused_as_destination() -> None:
    with pytest.raises(SoftError, match="406 PRECONDITION_FAILED - Destination not found"):
        exchange_of("x-local-random", to_exchange("y"))


def test_only_classic_queues_are_taken() -> None:
    exchange = exchange_of("x-local-random")
    exchange.check_queue_type("classic")
    with pytest.raises(SoftError) as caught:
        exchange.check_queue_type("quorum")
    text = "Queue type rabbit_quorum_queue not valid for this exchange type"
    assert caught.value.reply_text == f"PRECONDITION_FAILED - {text}"
