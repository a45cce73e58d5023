"""The x-delayed-message exchange: any other type, for messages that are to come later (A12.10).

The argument ``x-delayed-type`` names the type that does the routing, and the class made here *is*
that type under another name. That the message waits before it is routed is the broker's business:
it does that on exchanges of every type (N2).
"""

from __future__ import annotations

from functools import cache
from types import new_class
from typing import TYPE_CHECKING, Any, Final, cast

from amqpbroker.errors import precondition_failed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amqpbroker.routing.exchange import Exchange

DELAYED_TYPE: Final = "x-delayed-message"
TYPE_ARGUMENT: Final = "x-delayed-type"


@cache
def delayed_class(exchange_type: type[Exchange]) -> type[Exchange]:
    """Return the class of delayed exchanges that route as ``exchange_type`` does."""
    members = {"__slots__": (), "type_name": DELAYED_TYPE}
    name = f"Delayed{exchange_type.__name__}"
    return cast(
        "type[Exchange]", new_class(name, (exchange_type,), {}, lambda it: it.update(members))
    )


def delayed_type(arguments: Mapping[str, tuple[str, Any]]) -> str:
    """Return the name of the type that does the routing.

    Raises 406 if the argument is missing or no text.
    """
    kind, value = arguments.get(TYPE_ARGUMENT, ("V", None))
    if kind != "S":
        raise precondition_failed(
            f"Invalid argument, '{TYPE_ARGUMENT}' must be an existing exchange type"
        )
    name: str = value.decode("utf-8", "surrogateescape")
    return name
