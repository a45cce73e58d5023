"""What routing may know of a message: its keys, its headers, three of its properties."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from amqpbroker.errors import precondition_failed
from amqpbroker.routing.erlang_terms import KIND_NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from amqpbroker.routing.binding import Table

SENDER_SELECTED_HEADERS: Final = ("CC", "BCC")
"""Headers with further routing keys, in the order in which RabbitMQ reads them."""


class Routable(Protocol):
    """A message as exchanges see it."""

    @property
    def routing_key(self) -> str:
        """The key that the publisher gave."""

    @property
    def extra_keys(self) -> Sequence[str]:
        """The keys of the CC and BCC headers; see :func:`sender_selected_keys`."""

    @property
    def headers(self) -> Mapping[str, tuple[str, Any]]:
        """The headers property; empty if there is none."""

    def property(self, name: str) -> object | None:
        """Return message_id, correlation_id or timestamp (seconds), or None if not set."""


def sender_selected_keys(headers: Table) -> tuple[str, ...]:
    """Return the routing keys in the CC and BCC headers (FEATURES A5.10).

    Items that are not long strings are skipped, as RabbitMQ does. Raises 406 if a header is
    not an array.
    """
    keys: list[str] = []
    for name in SENDER_SELECTED_HEADERS:
        kind, value = headers.get(name, ("A", ()))
        if kind != "A":
            reason = f'{{unacceptable_type_in_header,"{name}",{KIND_NAMES[kind]}}}'
            raise precondition_failed(f"invalid message: {reason}")
        keys += [key.decode("utf-8", "surrogateescape") for k, key in value if k == "S"]
    return tuple(keys)
