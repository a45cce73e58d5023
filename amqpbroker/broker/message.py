"""A message as a queue holds it, and a message on loan to a client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amqpbroker.broker.delivery_count import original_of
from amqpbroker.wire.content import Publication, keys_in
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.table import Field

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from amqpbroker.broker.consumer import Consumer
    from amqpbroker.broker.queue import Queue
    from amqpbroker.broker.runs import Run
    from amqpbroker.broker.spill import TransientRun


class Message:
    """Content as published. One object serves all queues that it was routed to.

    A message that is kept on disk has a `Run` and a ``sequence`` (see ``journal``), a transient one
    that counts for the memory budget a `TransientRun` (see ``spill``). Its body may be on the disk
    and not in memory: then ``body`` is None, and ``paging`` reads it.
    """

    __slots__ = ("body", "publication", "run", "sequence")

    def __init__(
        self,
        publication: Publication,
        body: bytes | None,
        run: Run | TransientRun | None = None,
        sequence: int = 0,
    ) -> None:
        self.publication = publication
        self.body = body
        self.run = run
        self.sequence = sequence

    def republished(self, publication: Publication) -> Message:
        """Return a copy of the same message that has another publication."""
        return Message(publication, self.body, self.run, self.sequence)

    # What an exchange may know of a message (routing.message.Routable).

    @property
    def routing_key(self) -> str:
        """The publisher's routing key."""
        return self.publication.routing_key

    @property
    def extra_keys(self) -> Sequence[str]:
        """Keys from the CC and BCC headers."""
        return self.publication.extra_keys

    @property
    def headers(self) -> Mapping[str, tuple[str, Any]]:
        """The headers table."""
        return self.publication.headers

    def property(self, name: str) -> object | None:
        """Return a property, None if absent."""
        return self.publication.property(name)


class BlindPublication(Publication):
    """A publication whose BCC header is gone, but not the keys that it held.

    No client may see them, but a message that is dead-lettered is routed by them once more.
    """

    __slots__ = ("hidden_keys",)

    hidden_keys: Sequence[str]

    @property
    def extra_keys(self) -> Sequence[str]:
        """Keys from the CC and BCC headers of the publisher."""
        return [*super().extra_keys, *self.hidden_keys]


def hide_keys(publication: Publication, keys: Sequence[str]) -> BlindPublication:
    """Return ``publication``, which has no BCC header any more, with the keys that were in it."""
    blind = BlindPublication(
        publication.exchange,
        publication.routing_key,
        mandatory=publication.mandatory,
        immediate=publication.immediate,
        raw_properties=publication.raw_properties,
        properties=publication.properties,
        body_size=publication.body_size,
    )
    blind.hidden_keys = keys
    return blind


def without_bcc(publication: Publication) -> Publication:
    """Return a publication as clients may see it.

    Raises :class:`~amqpbroker.errors.SoftError` 406 if the BCC header is no array.
    """
    if b"BCC" not in publication.raw_properties or "BCC" not in publication.headers:
        return publication
    keys = keys_in(publication.headers, "BCC")
    headers = {name: field for name, field in publication.headers.items() if name != "BCC"}
    return hide_keys(publication.changed(headers=headers), keys)


def stored_properties(publication: Publication) -> bytes:
    """Return the properties as they are stored: with the BCC header, without a delivery count."""
    publication = original_of(publication)
    if not isinstance(publication, BlindPublication):
        return publication.raw_properties
    keys = [key.encode("utf-8", "surrogateescape") for key in publication.hidden_keys]
    bcc = Field("A", tuple(Field("S", key) for key in keys))
    headers = {**publication.headers, "BCC": bcc}
    return encode_properties({**publication.properties, "headers": headers})


class Delivery:
    """A message handed to a client that has yet to settle it (unsettled; RabbitMQ: unacked).

    ``position`` is its place in the queue, where a requeue puts it back. ``consumer`` is None for
    a message fetched by basic.get.
    """

    __slots__ = ("consumer", "message", "position", "queue", "tag")

    def __init__(
        self, tag: int, queue: Queue, position: int, message: Message, consumer: Consumer | None
    ) -> None:
        self.tag = tag
        self.queue = queue
        self.position = position
        self.message = message
        self.consumer = consumer
