"""The exchange types by name, and the exchanges that every vhost is born with."""

from __future__ import annotations

from random import randrange
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from amqpbroker.errors import precondition_failed
from amqpbroker.routing.types.consistent_hash_exchange import ConsistentHashExchange
from amqpbroker.routing.types.deduplication_exchange import DeduplicationExchange
from amqpbroker.routing.types.delayed_message_exchange import (
    DELAYED_TYPE,
    delayed_class,
    delayed_type,
)
from amqpbroker.routing.types.direct_exchange import DirectExchange
from amqpbroker.routing.types.fanout_exchange import FanoutExchange
from amqpbroker.routing.types.headers_exchange import HeadersExchange
from amqpbroker.routing.types.local_random_exchange import LocalRandomExchange
from amqpbroker.routing.types.modulus_hash_exchange import ModulusHashExchange
from amqpbroker.routing.types.random_exchange import RandomExchange
from amqpbroker.routing.types.recent_history_exchange import RecentHistoryExchange
from amqpbroker.routing.types.super_stream_exchange import SuperStreamExchange, is_super_stream
from amqpbroker.routing.types.topic_exchange import TopicExchange

if TYPE_CHECKING:
    from collections.abc import Callable

    from amqpbroker.routing.exchange import Exchange

EXCHANGE_TYPES: Final[dict[str, type[Exchange]]] = {
    exchange_type.type_name: exchange_type
    for exchange_type in (
        DirectExchange,
        FanoutExchange,
        TopicExchange,
        HeadersExchange,
        ConsistentHashExchange,
        ModulusHashExchange,
        RandomExchange,
        LocalRandomExchange,
        RecentHistoryExchange,
        DeduplicationExchange,
    )
}

TYPE_NAMES: Final = (*EXCHANGE_TYPES, DELAYED_TYPE)
"""All that may be declared."""


class Predeclared(NamedTuple):
    """A durable exchange that a new vhost gets."""

    name: str
    type_name: str
    is_internal: bool = False


PREDECLARED: Final = (
    Predeclared("", "direct"),
    Predeclared("amq.direct", "direct"),
    Predeclared("amq.topic", "topic"),
    Predeclared("amq.match", "headers"),
    Predeclared("amq.headers", "headers"),
    Predeclared("amq.fanout", "fanout"),
    Predeclared("amq.rabbitmq.trace", "topic", is_internal=True),
)
"""FEATURES A3.5; amq.match is the name in the specification's text, amq.headers in its XML."""


def create_exchange(
    type_name: str,
    name: str,
    *,
    pick: Callable[[int], int] = randrange,
    **options: Any,
) -> Exchange:
    """Return a new exchange; ``options`` are those of :class:`Exchange`.

    ``pick(count)`` returns a number from 0 to count - 1, for the types that draw lots. Raises
    406 if the type is not known (503 on RabbitMQ before 3.13) or an argument is not valid.
    """
    if type_name == DELAYED_TYPE:
        arguments = options.get("arguments") or {}
        exchange_type = delayed_class(_known_type(delayed_type(arguments)))
    else:
        exchange_type = _known_type(type_name)
        if exchange_type is DirectExchange and is_super_stream(options.get("arguments") or {}):
            exchange_type = SuperStreamExchange
    if issubclass(exchange_type, RandomExchange):
        return exchange_type(name, pick=pick, **options)
    return exchange_type(name, **options)


def _known_type(type_name: str) -> type[Exchange]:
    exchange_type = EXCHANGE_TYPES.get(type_name)
    if exchange_type is None:
        raise precondition_failed(f"unknown exchange type '{type_name}'")
    return exchange_type
