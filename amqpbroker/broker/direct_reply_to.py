"""Direct reply-to: answers to a request without a reply queue (FEATURES A5.16).

A channel consumes the pseudo-queue ``amq.rabbitmq.reply-to``; requests it publishes with that name
in ``reply_to`` leave with a name only it is known by, and whatever is published to the default
exchange under that name goes straight to the channel. https://www.rabbitmq.com/docs/direct-reply-to
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from amqpbroker.broker.names import REPLY_TO, generate
from amqpbroker.wire.content import DeliverEncoder

if TYPE_CHECKING:
    from amqpbroker.broker.channel import Channel
    from amqpbroker.wire.content import Publication

OUTGOING_SIZE_MAX: Final = 1 << 23
"""Bytes that a requester leaves unread above which answers to it are dropped."""


class ReplyConsumer:
    """The reply consumer of a channel."""

    __slots__ = ("_channel", "_encoder", "_registry", "queue_name", "tag")

    def __init__(self, channel: Channel, tag: str, registry: dict[str, ReplyConsumer]) -> None:
        self._channel = channel
        self._encoder = DeliverEncoder(channel.number, tag, channel.session.wire.frame_size_max)
        self._registry = registry
        self.tag = tag
        self.queue_name = generate(REPLY_TO).replace(f"{REPLY_TO}-", f"{REPLY_TO}.")
        """What ``reply_to`` becomes."""
        registry[self.queue_name] = self

    def deliver(self, publication: Publication, bodies: list[bytes]) -> None:
        """Write answers to the requester, if it is still there and reads what it gets.

        Nothing is acknowledged and nothing is queued: an answer arrives at most once.
        """
        channel = self._channel
        if self._registry.get(self.queue_name) is not self:
            return
        for body in bodies:
            if channel.session.wire.outgoing_size > OUTGOING_SIZE_MAX:
                break
            # The tag is the next one, and the next delivery has it again: as on RabbitMQ.
            tag = channel.last_tag + 1
            channel.session.wire.write(self._encoder.deliver(tag, False, publication, body))
        channel.session.touch()

    def close(self) -> None:
        """Be unknown from now on."""
        self._registry.pop(self.queue_name, None)
