"""Keys that a publisher gives to messages in a header, for queues that keep keys apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from amqpbroker.broker.arguments import INTEGERS

if TYPE_CHECKING:
    from amqpbroker.wire.content import Publication

GROUP_KEY: Final = "x-group-key"
PARTITION_KEY: Final = "x-partition-key"


def key_in(publication: Publication, name: str) -> bytes | None:
    """Return the key in a header: a text, or an integer as its digits; None if there is none.

    Anything else is no key.
    """
    kind, value = publication.headers.get(name, ("V", None))
    if kind == "S":
        return bytes(value)
    return str(value).encode() if kind in INTEGERS else None
