"""How often a message has been delivered in vain, and what is known of it (FEATURES A9.15, N7).

Quorum queues, and queues that retry, tell consumers in a header ``x-delivery-count``, and count
only what comes back. So a message that comes back is replaced by one whose publication has the
header; a first delivery costs nothing. Everybody else gets the publication as it came: the log,
which keeps counts in records of their own (``storage.shard_record``), and dead-letter exchanges.

If a consumer has said why it failed (``error_note``), that is in the header
``x-exception-message``, as Spring's programs have it; dead letters keep it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from amqpbroker.wire.content import Publication
from amqpbroker.wire.table import Field

if TYPE_CHECKING:
    from amqpbroker.broker.message import Message

DELIVERY_COUNT: Final = "x-delivery-count"
EXCEPTION_MESSAGE: Final = "x-exception-message"


class History(NamedTuple):
    """What became of a message so far."""

    delivery_count: int = 0
    """How often it has been delivered in vain."""
    due_ms: int = 0
    """Until when it waits (ms since 1970); 0 if it does not."""
    error: bytes = b""
    """Why it failed, if somebody said so."""


NO_HISTORY: Final = History()


class CountedPublication(Publication):
    """A publication with the headers; each belongs to one message."""

    __slots__ = ("history", "original")

    history: History
    original: Publication
    """As it was published."""


def counted(message: Message, count: int) -> Message:
    """Return a message that tells its delivery count, an int64 (T5)."""
    return with_history(message, history_of(message)._replace(delivery_count=count, due_ms=0))


def with_history(message: Message, history: History) -> Message:
    """Return a message that tells its delivery count, and the error if there is one."""
    original = original_of(message.publication)
    headers = dict(original.headers)
    if history.delivery_count or not history.error:
        headers[DELIVERY_COUNT] = Field("l", history.delivery_count)
    if history.error:
        headers[EXCEPTION_MESSAGE] = Field("S", history.error)
    changed = original.changed(headers=headers)
    publication = CountedPublication(
        original.exchange,
        original.routing_key,
        mandatory=original.mandatory,
        immediate=original.immediate,
        raw_properties=changed.raw_properties,
        body_size=original.body_size,
    )
    publication.history = history
    publication.original = original
    return message.republished(publication)


def history_of(message: Message) -> History:
    """Return what became of a message so far."""
    publication = message.publication
    return publication.history if isinstance(publication, CountedPublication) else NO_HISTORY


def delivery_count(message: Message) -> int:
    """Return how often a message has been delivered in vain."""
    return history_of(message).delivery_count


def original_of(publication: Publication) -> Publication:
    """Return a publication as it was published."""
    return publication.original if isinstance(publication, CountedPublication) else publication


def uncounted(message: Message) -> Message:
    """Return a message as it was published, but for the error that it died of."""
    publication = message.publication
    if not isinstance(publication, CountedPublication):
        return message
    original, error = publication.original, publication.history.error
    if not error:
        return message.republished(original)
    headers = {**original.headers, EXCEPTION_MESSAGE: Field("S", error)}
    return message.republished(original.changed(headers=headers))
