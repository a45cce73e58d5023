"""The types by name, and the exchanges that a vhost is born with."""

from __future__ import annotations

import pytest

from amqpbroker.errors import SoftError
from amqpbroker.routing.registry import EXCHANGE_TYPES, PREDECLARED, create_exchange
from amqpbroker.routing.types.random_exchange import RandomExchange
from tests.routing.samples import exchange_of


@pytest.mark.parametrize("type_name", EXCHANGE_TYPES)
def test_a_type_is_created_by_its_name(type_name: str) -> None:
    exchange = exchange_of(type_name, is_durable=False, is_auto_delete=True)
    assert exchange.type_name == type_name
    assert exchange.name == "x"
    assert not exchange.is_durable
    assert exchange.is_auto_delete


@pytest.mark.parametrize("type_name", ["nosuch", "", "Direct"])
def test_an_unknown_type_is_refused(type_name: str) -> None:
    with pytest.raises(SoftError) as caught:
        create_exchange(type_name, "x")
    expected = f"406 PRECONDITION_FAILED - unknown exchange type '{type_name}'"
    assert str(caught.value) == expected


def test_a_vhost_has_the_exchanges_of_rabbitmq() -> None:
    found = {name: (type_name, is_internal) for name, type_name, is_internal in PREDECLARED}
    assert found == {
        "": ("direct", False),
        "amq.direct": ("direct", False),
        "amq.fanout": ("fanout", False),
        "amq.topic": ("topic", False),
        "amq.headers": ("headers", False),
        "amq.match": ("headers", False),
        "amq.rabbitmq.trace": ("topic", True),
    }


def test_only_what_draws_lots_or_remembers_is_unstable() -> None:
    unstable = {name for name, kind in EXCHANGE_TYPES.items() if not kind.is_stable}
    assert unstable == {"x-random", "x-local-random", "x-recent-history"}
    keyed = {name for name, kind in EXCHANGE_TYPES.items() if kind.is_keyed}
    assert keyed == {"direct", "fanout", "topic", "x-modulus-hash", "x-message-deduplication"}


def test_the_random_types_get_the_injected_source() -> None:
    drawing = {name for name, kind in EXCHANGE_TYPES.items() if issubclass(kind, RandomExchange)}
    assert drawing == {"x-random", "x-local-random"}
