"""How often a message has been delivered in vain (FEATURES A9.15).

Quorum queues tell consumers in a header ``x-delivery-count``, and count only what comes back. So a
message that comes back is replaced by one whose publication has the header; a first delivery costs
nothing. Everybody else gets the publication as it came: the log, which keeps counts in records of
their own (``storage.shard_record``), and dead-letter exchanges.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from amqpbroker.wire.content import Publication
from amqpbroker.wire.table import Field

if TYPE_CHECKING:
    from amqpbroker.broker.message import Message

DELIVERY_COUNT: Final = "x-delivery-count"


class CountedPublication(Publication):
    """A publication with the header; each belongs to one message."""

    __slots__ = ("delivery_count", "original")

    delivery_count: int
    original: Publication
    """As it was published."""


def counted(message: Message, count: int) -> Message:
    """Return a message that tells its delivery count, an int64 (T5)."""
    original = original_of(message.publication)
    headers = {**original.headers, DELIVERY_COUNT: Field("l", count)}
    changed = original.changed(headers=headers)
    publication = CountedPublication(
        original.exchange,
        original.routing_key,
        mandatory=original.mandatory,
        immediate=original.immediate,
        raw_properties=changed.raw_properties,
        body_size=original.body_size,
    )
    publication.delivery_count = count
    publication.original = original
    return message.republished(publication)


def delivery_count(message: Message) -> int:
    """Return how often a message has been delivered in vain."""
    publication = message.publication
    return publication.delivery_count if isinstance(publication, CountedPublication) else 0


def original_of(publication: Publication) -> Publication:
    """Return a publication as it was published."""
    return publication.original if isinstance(publication, CountedPublication) else publication


def uncounted(message: Message) -> Message:
    """Return a message as it was published."""
    publication = message.publication
    if isinstance(publication, CountedPublication):
        return message.republished(publication.original)
    return message
