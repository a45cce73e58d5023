"""A consumer says why it failed, before it rejects a delivery (FEATURES N7, S158).

AMQP's nack and reject have no room for a reason. So a consumer publishes it, on the same channel,
to the default exchange with the routing key ``amq.delivery-error`` and the delivery tag in the
header ``x-delivery-tag``; the body is the text. Nothing is routed. When the delivery is then
rejected, the text goes with the message in the header ``x-exception-message``: to the dead-letter
exchange, or in a queue that retries to the next consumer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from amqpbroker.broker.ack_extension import TAG_MAX, number_in
from amqpbroker.broker.delivery_count import History, history_of, with_history
from amqpbroker.broker.router import Route
from amqpbroker.errors import precondition_failed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from amqpbroker.broker.channel import Channel
    from amqpbroker.broker.message import Delivery
    from amqpbroker.wire.content import Publication

ROUTING_KEY: Final = "amq.delivery-error"
ERROR_SIZE_MAX: Final = 4096
"""Bytes; a longer text is cut, as it is written to the log with each failure."""
STALE_COUNT_MIN: Final = 64
"""Notes on deliveries that were acked, kept however few others there are."""


class ErrorNotes:
    """What the client of one channel has said about its deliveries."""

    __slots__ = ("_channel", "_texts")

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._texts: dict[int, bytes] = {}

    def __len__(self) -> int:
        return len(self._texts)

    def add(self, tag: int, text: bytes) -> None:
        """Remember why a delivery has failed.

        Raises :class:`~amqpbroker.errors.SoftError` 406 if it is not outstanding; in a transaction
        it may have been settled already, which is yet to come.
        """
        unsettled = self._channel.unsettled
        if tag not in unsettled and self._channel.transaction is None:
            raise precondition_failed(f"unknown delivery tag {tag}")
        self._texts[tag] = text[:ERROR_SIZE_MAX].decode("utf-8", "ignore").encode()
        if len(self._texts) > 2 * len(unsettled) + STALE_COUNT_MIN:
            self._texts = {known: self._texts[known] for known in self._texts.keys() & unsettled}

    def write_on(self, deliveries: Iterable[Delivery]) -> None:
        """Let messages that are being rejected tell what was said of them."""
        for delivery in deliveries:
            text = self._texts.pop(delivery.tag, b"")
            if text:
                history: History = history_of(delivery.message)._replace(error=text)
                delivery.message = with_history(delivery.message, history)


class ErrorNoteRoute(Route):
    """Leads nowhere: what is published says why a delivery has failed."""

    __slots__ = ("_tag",)

    def __init__(self, publication: Publication) -> None:
        """Read the header.

        Raises :class:`~amqpbroker.errors.SoftError` 406 if it is no number.
        """
        super().__init__(publication, ())
        self._tag = number_in(publication.headers, "x-delivery-tag", TAG_MAX, ROUTING_KEY) or 0

    def publish(self, channel: Channel | None, bodies: list[bytes]) -> tuple[int, int]:
        """Take note; the last body counts."""
        assert channel is not None
        if channel.error_notes is None:
            channel.error_notes = ErrorNotes(channel)
        channel.error_notes.add(self._tag, bodies[-1])
        return 0, 0


def tells_an_error(publication: Publication) -> bool:
    """Return whether a publication is no message but says why a delivery has failed."""
    return publication.routing_key == ROUTING_KEY and not publication.exchange
