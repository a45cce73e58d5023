"""A delayed exchange routes as the type in its argument does, under its own name (A12.10)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.errors import SoftError
from amqpbroker.routing.registry import EXCHANGE_TYPES, create_exchange
from amqpbroker.routing.types.delayed_message_exchange import DELAYED_TYPE
from tests.routing.samples import NEEDED_ARGUMENTS, PlainMessage, exchange_of, queues_of, to_queue

KEYS = st.sampled_from(["a", "a.b", "*.b", "#", "1"])


def delayed(type_name: str) -> Any:
    arguments = {"x-delayed-type": ("S", type_name.encode())}
    return create_exchange(
        DELAYED_TYPE, "x", arguments={**arguments, **NEEDED_ARGUMENTS.get(type_name, {})}
    )


@pytest.mark.parametrize("type_name", EXCHANGE_TYPES)
def test_is_the_type_that_it_names(type_name: str) -> None:
    exchange = delayed(type_name)
    assert isinstance(exchange, EXCHANGE_TYPES[type_name])
    assert exchange.type_name == DELAYED_TYPE
    assert EXCHANGE_TYPES[type_name].type_name == type_name
    assert type(exchange) is type(delayed(type_name))


@given(
    st.sampled_from(["direct", "fanout", "topic", "x-consistent-hash", "x-modulus-hash"]),
    st.lists(st.tuples(st.sampled_from("pqrs"), KEYS)),
    KEYS,
)
def test_routes_as_that_type(type_name: str, bound: list[tuple[str, str]], key: str) -> None:
    if type_name == "x-consistent-hash":
        bound = [(queue, "1") for queue, _ in bound]
    bindings = [to_queue(queue, binding_key) for queue, binding_key in dict.fromkeys(bound)]
    twin, exchange = exchange_of(type_name, *bindings), delayed(type_name)
    for binding in bindings:
        exchange.bind(binding)
    assert queues_of(exchange, PlainMessage(key)) == queues_of(twin, PlainMessage(key))


@pytest.mark.parametrize("arguments", [{}, {"x-delayed-type": ("I", 1)}])
def test_the_argument_must_be_there(arguments: dict[str, tuple[str, Any]]) -> None:
    with pytest.raises(SoftError, match="'x-delayed-type' must be an existing exchange type"):
        create_exchange(DELAYED_TYPE, "x", arguments=arguments)


@pytest.mark.parametrize("name", ["nonsense", DELAYED_TYPE])
def test_the_type_must_be_known(name: str) -> None:
    with pytest.raises(SoftError, match=f"unknown exchange type '{name}'"):
        delayed(name)
