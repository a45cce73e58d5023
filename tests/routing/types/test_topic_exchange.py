"""The topic exchange against what RabbitMQ 3.10.8 did with the same keys."""

from __future__ import annotations

from typing import Final

import pytest

from tests.routing.samples import PlainMessage, exchange_of, queues_of, to_queue

BINDING_KEYS: Final = [
    "",
    "#",
    "*",
    "a.*",
    "a..b",
    "*.*",
    "#.#",
    "*.#",
    "#.a",
    "a.#",
    "a.#.b",
    ".",
    "a.",
    ".a",
    "**",
    "a*",
    "#a",
    "a.*.b",
    "*a.b",
    "#.*.#",
    "*.*.*",
]
"""Two spaces between; the first is the empty key."""

RECORDED: Final = {
    "": "  #  #.#",
    "a": "#  *  #.#  *.#  #.a  a.#  #.*.#",
    ".": "#  *.*  #.#  *.#  .  #.*.#",
    "a.": "#  a.*  *.*  #.#  *.#  a.#  a.  #.*.#",
    ".a": "#  *.*  #.#  *.#  #.a  .a  #.*.#",
    "a.b": "#  a.*  *.*  #.#  *.#  a.#  a.#.b  #.*.#",
    "a..b": "#  a..b  #.#  *.#  a.#  a.#.b  a.*.b  #.*.#  *.*.*",
    "a.c.b": "#  #.#  *.#  a.#  a.#.b  a.*.b  #.*.#  *.*.*",
    "*": "#  *  #.#  *.#  #.*.#",
    "#": "#  *  #.#  *.#  #.*.#",
    "**": "#  *  #.#  *.#  **  #.*.#",
    "a*": "#  *  #.#  *.#  a*  #.*.#",
    "#a": "#  *  #.#  *.#  #a  #.*.#",
    "*.b": "#  *.*  #.#  *.#  #.*.#",
    "a.#": "#  a.*  *.*  #.#  *.#  a.#  #.*.#",
    "..": "#  #.#  *.#  #.*.#  *.*.*",
    "*a.b": "#  *.*  #.#  *.#  *a.b  #.*.#",
    "A": "#  *  #.#  *.#  #.*.#",
}
"""By routing key: the binding keys that matched on RabbitMQ."""


@pytest.mark.parametrize("routing_key", RECORDED)
def test_matches_what_rabbitmq_matched(routing_key: str) -> None:
    exchange = exchange_of("topic", *(to_queue(key, key) for key in BINDING_KEYS))
    matched = queues_of(exchange, PlainMessage(routing_key))
    assert sorted(matched) == sorted(RECORDED[routing_key].split("  "))


def test_each_extra_key_is_matched_too() -> None:
    exchange = exchange_of("topic", to_queue("a", "a.*"), to_queue("b", "b.#"), to_queue("c", "c"))
    message = PlainMessage("none", extra_keys=("a.x", "b", "a.y"))
    assert queues_of(exchange, message) == ["a", "b"]


def test_unbinding_one_of_two_bindings_to_a_queue_keeps_the_other() -> None:
    first = to_queue("q", "a.*", note=("I", 1))
    exchange = exchange_of("topic", first, to_queue("q", "a.*", note=("I", 2)))
    exchange.unbind(first)
    assert queues_of(exchange, PlainMessage("a.b")) == ["q"]
