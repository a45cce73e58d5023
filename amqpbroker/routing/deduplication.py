"""The arguments of exchanges that let no message through twice (FEATURES A12.12, N6).

Names are those of RabbitMQ's plugin and of LavinMQ. What is remembered, and how long, is the
broker's business (``broker.deduplication``): routing keeps no state that must survive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from amqpbroker.errors import precondition_failed
from amqpbroker.routing.erlang_terms import KIND_NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping

DEDUPLICATION: Final = "x-message-deduplication"
CACHE_SIZE: Final = "x-cache-size"
CACHE_TTL: Final = "x-cache-ttl"
HEADER: Final = "x-deduplication-header"
BY_CONTENT: Final = "x-content-based-deduplication"
_KINDS: Final = {DEDUPLICATION: "t", HEADER: "S", BY_CONTENT: "t"}
_INTEGERS: Final = frozenset("bBsuIil")


def check_deduplication(arguments: Mapping[str, tuple[str, Any]], where: str) -> None:
    """Check the arguments of an exchange that asks for it with ``x-message-deduplication``.

    Raises 406; ``where`` is the exchange's description.
    """
    if DEDUPLICATION not in arguments:
        return
    for name, wanted in _KINDS.items():
        kind, _ = arguments.get(name, (wanted, None))
        if kind != wanted:
            text = f"invalid type '{KIND_NAMES[kind]}' for arg '{name}' in {where}"
            raise precondition_failed(text)
    check_size_and_ttl(arguments, "Invalid argument")


def check_size_and_ttl(arguments: Mapping[str, tuple[str, Any]], wrong: str) -> None:
    """Raise 406 where a size or a time is not an integer, or digits, above 0."""
    for name in (CACHE_SIZE, CACHE_TTL):
        if name in arguments and not _is_positive(*arguments[name]):
            raise precondition_failed(f"{wrong}, '{name}' must be an integer greater than 0")


def _is_positive(kind: str, value: Any) -> bool:
    if kind == "S":
        return bool(value.isdigit() and value.strip(b"0"))  # as many digits as the client likes
    return kind in _INTEGERS and bool(value > 0)
