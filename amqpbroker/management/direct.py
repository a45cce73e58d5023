"""An HTTP request as a client of the broker: a session without a socket.

What is declared, bound, deleted or published over HTTP goes through the same handlers as over AMQP,
so that rules, permissions and errors are the same. RabbitMQ's management plugin opens a direct
connection for the same reason.
"""

from __future__ import annotations

import struct
from functools import partial
from typing import TYPE_CHECKING

import anyio

from amqpbroker.auth.backends.backend import answered
from amqpbroker.auth.sasl.mechanism import Peer
from amqpbroker.broker import handlers
from amqpbroker.broker.bodies import bodies_now, wait_for_head
from amqpbroker.broker.channel import Channel
from amqpbroker.broker.confirms import Confirms
from amqpbroker.broker.message import Delivery
from amqpbroker.broker.session import Session
from amqpbroker.errors import SoftError, internal_error
from amqpbroker.management.errors import bad_request
from amqpbroker.wire.codec import decode_method, encode_method
from amqpbroker.wire.events import Publish
from amqpbroker.wire.methods import BasicAck, BasicNack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from amqpbroker.auth.permissions import Kind, Permission
    from amqpbroker.auth.principal import Principal
    from amqpbroker.broker.broker import Broker
    from amqpbroker.broker.message import Message
    from amqpbroker.broker.queue import Queue
    from amqpbroker.broker.ready import Ready
    from amqpbroker.broker.vhost import VHost
    from amqpbroker.wire.codec import Method
    from amqpbroker.wire.content import Publication

CHANNEL: int = 1


class DirectSession(Session):
    """A session that serves one HTTP request. Whoever makes one closes it and flushes."""

    def __init__(self, broker: Broker, principal: Principal, vhost: VHost) -> None:
        super().__init__(broker, name="HTTP", peer=Peer(is_loopback=True), wake=_nobody)
        self.principal = principal
        self.vhost = vhost
        self.channel = Channel(self, vhost, CHANNEL)
        self.channels[CHANNEL] = self.channel
        self._is_returned = False
        self._confirmed = anyio.Event()

    def send(self, number: int, method: Method) -> None:
        """Take an answer: that there is none but an error's is all that most callers ask."""
        if isinstance(method, BasicNack):
            self._is_returned = True
        if isinstance(method, BasicAck | BasicNack):
            self._confirmed.set()

    def return_unroutable(
        self, channel: Channel, publication: Publication, bodies: list[bytes]
    ) -> None:
        """Learn that no queue took the message."""
        self._is_returned = True

    async def ask(self, method: Method) -> None:
        """Do what a client asks for with ``method``.

        Raises :class:`~amqpbroker.errors.AmqpError` as over AMQP, and
        :class:`~amqpbroker.management.errors.ApiError` 400 for what AMQP cannot say, such as names
        over 255 bytes.
        """
        try:
            frame = encode_method(CHANNEL, method)
        except (ValueError, struct.error):
            raise bad_request("a name is too long or a value out of range") from None
        await handlers.handle_when_answered(self, CHANNEL, decode_method(frame[7:-1]))

    async def publish(self, publication: Publication, body: bytes) -> bool:
        """Publish and wait for the confirm; return whether the queues took the message.

        Raises :class:`~amqpbroker.errors.AmqpError` as over AMQP.
        """
        publication.mandatory = True
        self.channel.confirms = Confirms(self.channel)
        await handlers.handle_when_answered(self, CHANNEL, Publish(publication, [body]))
        self.broker.flush()
        await self._confirmed.wait()
        return not self._is_returned

    async def permit(self, kind: Kind, name: str, permission: Permission) -> None:
        """Check what the user may do, for requests that no method of AMQP stands for.

        Raises :class:`~amqpbroker.errors.SoftError` 403.
        """
        await answered(partial(self.check, kind, name, permission))

    async def may(self, kind: Kind, name: str, permission: Permission) -> bool:
        """Return whether the user has a permission."""
        try:
            await self.permit(kind, name, permission)
        except SoftError:
            return False
        return True

    async def take(self, queue: Queue, count: int) -> AsyncIterator[tuple[Ready, bytes]]:
        """Yield up to ``count`` messages from the head, all for a negative one; they are lent.

        Each comes with its body. Raises :class:`~amqpbroker.errors.HardError` 541 for one that
        cannot be read.
        """
        while count != 0:
            while (waiting := wait_for_head(queue)) is not None:
                await waiting
            ready = queue.get()
            if ready is None:
                return
            self._lend(queue, ready.position, ready.message)
            bodies = bodies_now(queue.pager, (ready.message,))
            if bodies is None:
                raise internal_error("the message cannot be read")
            yield ready, bodies[0]
            count -= 1

    def settle(self, outcome: str) -> None:
        """Let all that was taken be ``ack``, ``drop`` or ``requeue``."""
        deliveries = self.channel.take(0, multiple=True)
        if deliveries:
            getattr(self.channel, outcome)(deliveries)

    def _lend(self, queue: Queue, position: int, message: Message) -> None:
        self.channel.last_tag = tag = self.channel.last_tag + 1
        self.channel.lend([Delivery(tag, queue, position, message, None)])


def _nobody() -> None:
    """There is no writer to wake."""
