"""What every exchange has: options, bindings, the alternate exchange's name."""

from __future__ import annotations

from typing import Any

import pytest

from amqpbroker.errors import SoftError
from amqpbroker.routing.registry import EXCHANGE_TYPES, create_exchange
from tests.routing.samples import PlainMessage, exchange_of, to_exchange, to_queue

ALL_TYPES = pytest.mark.parametrize("type_name", EXCHANGE_TYPES)


@ALL_TYPES
def test_binding_twice_is_binding_once(type_name: str) -> None:
    exchange = exchange_of(type_name)
    assert exchange.bind(to_queue("q", "1"))
    assert not exchange.bind(to_queue("q", "1"))
    assert list(exchange.bindings) == [to_queue("q", "1")]


@ALL_TYPES
def test_unbinding_what_is_not_bound_changes_nothing(type_name: str) -> None:
    exchange = exchange_of(type_name)
    exchange.bind(to_queue("q", "1"))
    assert not exchange.unbind(to_queue("q", "2"))
    assert exchange.unbind(to_queue("q", "1"))
    assert not exchange.unbind(to_queue("q", "1"))
    assert not exchange.bindings
    assert not exchange.destinations(PlainMessage("1"), "1")


@ALL_TYPES
def test_instances_have_no_dict(type_name: str) -> None:
    assert not hasattr(exchange_of(type_name), "__dict__")


def test_bound_exchanges_are_counted() -> None:
    exchange = exchange_of("direct", to_exchange("y", "1"), to_exchange("y", "2"), to_queue("q"))
    assert exchange.bound_exchanges == {"y": 2}
    exchange.unbind(to_exchange("y", "1"))
    exchange.unbind(to_exchange("y", "2"))
    assert exchange.bound_exchanges == {}


def test_only_the_recent_history_exchange_has_a_history() -> None:
    assert exchange_of("fanout").history() == ()


def test_bindings_of_any_kind_are_fine_with_most_types() -> None:
    exchange = exchange_of("direct", to_exchange("y"), to_queue("q", "k", x_match=("I", 1)))
    exchange.check_queue_type("stream")


def test_options_default_to_durable() -> None:
    exchange = create_exchange("direct", "x")
    facts = exchange.is_durable, exchange.is_auto_delete, exchange.is_internal
    assert facts == (True, False, False)
    assert exchange.arguments == {}
    assert exchange.alternate is None


def test_the_alternate_exchange_comes_from_the_argument() -> None:
    arguments = {"alternate-exchange": ("S", b"other\xff")}
    assert exchange_of("direct", arguments=arguments).alternate == "other\udcff"


@pytest.mark.parametrize(
    ("field", "kind"),
    [(("I", 1), "signedint"), (("t", True), "bool"), (("V", None), "void"), (("A", ()), "array")],
)
def test_an_alternate_exchange_that_is_no_string_is_refused_in_rabbitmqs_words(
    field: tuple[str, Any], kind: str
) -> None:
    with pytest.raises(SoftError) as caught:
        exchange_of("direct", arguments={"alternate-exchange": field}, vhost="v")
    assert caught.value.reply_text == (
        f"PRECONDITION_FAILED - invalid type '{kind}' for arg 'alternate-exchange' "
        "in exchange 'x' in vhost 'v'"
    )
