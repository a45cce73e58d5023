"""The deduplication exchange is a fanout that must know its size (FEATURES A12.12)."""

from __future__ import annotations

from typing import Any

import pytest

from amqpbroker.errors import SoftError
from tests.routing.samples import PlainMessage, exchange_of, queues_of, to_queue


def test_routes_as_a_fanout() -> None:
    exchange = exchange_of("x-message-deduplication", to_queue("q", "1"), to_queue("p", "2"))
    assert queues_of(exchange, PlainMessage("3")) == ["q", "p"]


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({}, "x-cache-size"),
        ({"x-cache-size": ("S", b"many")}, "x-cache-size"),
        ({"x-cache-size": ("I", -1)}, "x-cache-size"),
        ({"x-cache-size": ("I", 1), "x-cache-ttl": ("I", 0)}, "x-cache-ttl"),
    ],
)
def test_sizes_are_checked(arguments: dict[str, tuple[str, Any]], name: str) -> None:
    text = f"Missing or invalid argument, '{name}' must be an integer greater than 0"
    with pytest.raises(SoftError, match=text):
        exchange_of("x-message-deduplication", arguments=arguments)


def test_the_size_may_be_digits() -> None:
    arguments = {"x-cache-size": ("S", b"5")}
    assert exchange_of("x-message-deduplication", arguments=arguments).arguments == arguments
