"""A client's connection as the domain sees it: who it is, its channels, what it is owed.

The server feeds bytes to ``receive`` and sends what piles up in ``wire.outgoing`` after ``wake``.
This is the one place where errors become channel.close or connection.close (FEATURES A2.3, A2.4).
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Final

from amqpbroker.auth.backends.backend import Unanswered
from amqpbroker.broker import handlers, quotas
from amqpbroker.broker.handlers.answer import Answer
from amqpbroker.broker.handlers.publish import publish
from amqpbroker.broker.permits import Permits
from amqpbroker.broker.router import RouteMemo
from amqpbroker.errors import AmqpError, HardError, SoftError, internal_error
from amqpbroker.wire.codec import Method
from amqpbroker.wire.connection import BadProtocolHeader, Connection, State
from amqpbroker.wire.constants import PROTOCOL_HEADER
from amqpbroker.wire.content import content
from amqpbroker.wire.events import Acks, Event, Publish
from amqpbroker.wire.methods import (
    BasicCancel,
    BasicReturn,
    ChannelClose,
    ConnectionBlocked,
    ConnectionClose,
    ConnectionUnblocked,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from amqpbroker.auth.permissions import Kind, Permission
    from amqpbroker.auth.principal import Principal
    from amqpbroker.auth.sasl.authenticator import Authenticator
    from amqpbroker.auth.sasl.mechanism import Peer
    from amqpbroker.broker.broker import Broker
    from amqpbroker.broker.channel import Channel
    from amqpbroker.broker.confirms import Confirms
    from amqpbroker.broker.consumer import Consumer
    from amqpbroker.broker.queue import Queue
    from amqpbroker.broker.timers import Timer
    from amqpbroker.broker.vhost import VHost
    from amqpbroker.wire.content import Publication
    from amqpbroker.wire.table import Table

logger = logging.getLogger("amqpbroker.connection")

OUTGOING_SIZE_MAX: Final = 1 << 19
"""Bytes waiting to be written above which consumers get nothing more (A17.4)."""
OUTGOING_STOP_SIZE: Final = 1 << 23
"""Bytes a client leaves unread (messages it gets, returns, confirms) above which it must read
before anything more is done for it."""
OWED_ANSWERS_MAX: Final = 64
"""Definitions sent in a row that share a visit to the disk: some milliseconds of work."""


class Session:
    """One connection. ``wake`` tells the server that there is something to write."""

    def __init__(self, broker: Broker, *, name: str, peer: Peer, wake: Callable[[], None]) -> None:
        self.broker = broker
        self.name = name
        """As RabbitMQ names connections: ``127.0.0.1:50000 -> 127.0.0.1:5672``."""
        self.peer = peer
        self.wake = wake
        self.until_written: Callable[[], Awaitable[None]] = _at_once
        """Returns when the client has read most of what was sent; the server sets it."""
        self.wire = Connection(
            message_size_max=broker.config.message_size_max,
            handshake_frame_size_max=broker.config.initial_frame_max,
        )
        self.is_finished = False
        """Nothing more will be read; the server closes when all is written."""
        self.published_count = 0
        """Messages since the server has looked at the alarms and at what the client may send."""
        self.heartbeat_s = 0
        self.authenticator: Authenticator | None = None
        self.mechanism = ""
        self.principal: Principal | None = None
        self.vhost: VHost | None = None
        self.client_properties: Table = {}
        self.capabilities: frozenset[str] = frozenset()
        self.channels: dict[int, Channel] = {}
        self.exclusive_queues: dict[str, Queue] = {}
        self.routes = RouteMemo()
        self.owed_answers: deque[tuple[Event, Answer]] = deque()
        """To definitions that are not on the disk yet, in order."""
        self.stalled_consumers: dict[Consumer, None] = {}
        """Blocked until this connection has written what it has; who waits longest is first."""
        self._owed_confirms: list[Confirms] = []
        self._is_touched = False
        self._is_told = False
        """That its publishes wait."""
        self.credential_timers: list[Timer] = []
        """The end of the user's credentials and the like; see ``handlers.credentials``."""
        self.counted_as: str | None = None
        """Of which user the counts hold this connection, while it is in a vhost."""
        self._finishing: Timer | None = None
        self.permits = Permits()

    # in

    def receive_repeat(self, data: bytes) -> bool:
        """Handle one more publish like the last, at once; return whether ``data`` is that.

        If not, or if it is refused, nothing has been done: ``receive`` does all that belongs to it.
        """
        repeat = self.wire.receive_repeat(data)
        if repeat is None or self.is_overfull:
            return False
        number, event = repeat
        channel = self.channels.get(number)
        if channel is None:
            return False
        try:
            publish(channel, event)
        except Exception:  # refused, or not answered yet, or a bug: met again there
            return False
        return True

    async def receive(self, data: bytes) -> None:
        """Handle what a client sent; cold methods may wait, nothing else is handled meanwhile."""
        try:
            for number, event in self.wire.receive_data(data):
                try:
                    if self.owed_answers and not await self._may_go_ahead(event):
                        continue
                    if type(event) is Publish:
                        self.published_count += len(event.bodies)
                    try:
                        pending = handlers.handle(self, number, event)
                    except Unanswered:
                        pending = handlers.handle_when_answered(self, number, event)
                    if type(pending) is Answer:
                        self.owed_answers.append((event, pending))
                    elif pending is not None:
                        await pending
                except SoftError as error:
                    await self.give_answers()
                    self.fail_channel(number, error, event)
                except HardError as error:
                    await self.give_answers()
                    self._fail(error, event)
                except Exception:
                    logger.exception("%s: internal error", self.name)
                    self._fail(internal_error("internal error"), event)
                if self.is_finished:
                    return
                if self.is_overfull:
                    self.broker.flush()
                    await self.until_written()
            await self.give_answers()
        except HardError as error:
            await self.give_answers()
            self._fail(error)
        except BadProtocolHeader as error:
            logger.warning("%s: closed, bad protocol header %s", self.name, error)
            self.wire.write(PROTOCOL_HEADER)
            self.finish()
        except Exception:
            logger.exception("%s: internal error", self.name)
            self._fail(internal_error("internal error"))
            self.finish()
        if self.wire.outgoing:
            self.touch()

    async def _may_go_ahead(self, event: Event) -> bool:
        """Give the answers that must come before ``event``; return whether it is still wanted."""
        is_definition = type(event) in handlers.DEFINITIONS
        if is_definition and len(self.owed_answers) < OWED_ANSWERS_MAX:
            return True
        await self.give_answers()
        return self.wire.state is State.RUNNING

    async def give_answers(self) -> None:
        """Answer what was defined, in order, when it is on the disk."""
        try:
            while self.owed_answers:
                event, answer = self.owed_answers.popleft()
                try:
                    await answer
                except HardError as error:
                    self._fail(error, event)
        finally:
            while self.owed_answers:  # the client vanished meanwhile
                self.owed_answers.popleft()[1].give_up()

    def fail_channel(self, number: int, error: SoftError, event: Event | None = None) -> None:
        """Close a channel because of an error, at its method ``event`` or at none."""
        if number == 0:
            self._fail(error, event)
            return
        if self.wire.state is not State.RUNNING:
            return
        logger.warning("%s: channel %d closed, %s", self.name, number, error)
        channel = quotas.remove_channel(self, number)
        class_id, method_id = _failing(error, event)
        self.send(number, ChannelClose(error.reply_code, error.reply_text, class_id, method_id))
        if channel is not None:
            channel.close()

    def _fail(self, error: AmqpError, event: Event | None = None) -> None:
        if self.wire.state in (State.CLOSING, State.CLOSED):
            return
        logger.warning("%s: closed, %s", self.name, error)
        self.close()
        class_id, method_id = _failing(error, event)
        self.send(0, ConnectionClose(error.reply_code, error.reply_text, class_id, method_id))

    def force_close(self, reason: str) -> None:
        """Close from outside: 320 with a reason (FEATURES A1.13, A8.18).

        A client that has not come as far as connection.open is hung up on without a word, as on
        RabbitMQ: it is not there yet to be told.
        """
        if self.wire.state in (State.RUNNING, State.CLOSING):
            self._fail(HardError(320, reason))
        else:
            self.finish()

    # out

    @property
    def is_full(self) -> bool:
        """Whether so much waits to be written that consumers must wait."""
        return self.wire.outgoing_size >= OUTGOING_SIZE_MAX

    @property
    def is_overfull(self) -> bool:
        """Whether the client must read before anything more is done for it."""
        return self.wire.outgoing_size > OUTGOING_STOP_SIZE

    @property
    def room_size(self) -> int:
        """Bytes until the connection is full."""
        return OUTGOING_SIZE_MAX - self.wire.outgoing_size

    def touch(self) -> None:
        """Have the server write at the end of the batch."""
        if not self._is_touched:
            self._is_touched = True
            self.broker.touched.append(self)

    def send(self, number: int, method: Method) -> None:
        """Send a method."""
        self.wire.send(number, method)
        self.touch()

    def owe_confirms(self, confirms: Confirms) -> None:
        """Have confirms flushed at the end of the batch."""
        self._owed_confirms.append(confirms)
        self.touch()

    def flush(self) -> None:
        """End a batch: confirm what is safe and wake the writer."""
        if self._owed_confirms:
            owed, self._owed_confirms = self._owed_confirms, []
            for confirms in owed:
                confirms.flush()
        self._is_touched = False
        self.wake()

    def drained(self) -> None:
        """What was full has room again: consumers that waited go on, until it is full again.

        Whoever gets nothing this time is first the next time, so that no queue starves another.
        """
        waiting = list(self.stalled_consumers)
        self.stalled_consumers.clear()
        served = 0
        while served < len(waiting) and not self.is_full:
            consumer = waiting[served]
            served += 1
            if consumer.queue.consumers.unblock(consumer):
                consumer.queue.pump()
        self.stalled_consumers = dict.fromkeys([*waiting[served:], *self.stalled_consumers])

    def return_unroutable(
        self, channel: Channel, publication: Publication, bodies: list[bytes]
    ) -> None:
        """Send mandatory messages back that no queue took (FEATURES A5.5)."""
        method = BasicReturn(312, "NO_ROUTE", publication.exchange, publication.routing_key)
        size = self.wire.frame_size_max
        for body in bodies:
            self.wire.write(content(channel.number, method, publication, body, size))
        self.touch()

    def blocked(self, reason: str) -> None:
        """Tell the client, once and if it wants to know, that its publishes wait (A1.15)."""
        wants_to_know = "connection.blocked" in self.capabilities
        if wants_to_know and not self._is_told and self.wire.state is State.RUNNING:
            self._is_told = True
            self.send(0, ConnectionBlocked(reason))

    def unblocked(self) -> None:
        """Tell a client that was told so that its publishes wait no longer."""
        if self._is_told and self.wire.state is State.RUNNING:
            self.send(0, ConnectionUnblocked())
        self._is_told = False

    def cancelled_by_server(self, consumer: Consumer) -> None:
        """Tell a client that its consumer is gone, if it wants to know (FEATURES A6.13)."""
        if "consumer_cancel_notify" in self.capabilities:
            self.send(consumer.channel.number, BasicCancel(consumer.tag, True))

    # permissions

    def check(self, kind: Kind, name: str, permission: Permission) -> None:
        """Check what the user may do; see :meth:`Permits.check`."""
        self.permits.check(self, kind, name, permission)

    # close

    def finish(self) -> None:
        """Read nothing more; close the socket when all is written."""
        if self._finishing is not None:
            self._finishing.cancel()
        self.close()
        self.is_finished = True
        self.touch()

    def finish_later(self, delay_s: float) -> None:
        """Finish after a delay, unless the client or something else ends it sooner."""
        self._finishing = self.broker.timers.call_later(delay_s, self.finish)

    def forget_server(self) -> None:
        """Let go of the server's side, so that both are freed at once and not by the collector."""
        self.wake = _nobody
        self.until_written = _at_once
        self.authenticator = None

    def close(self) -> None:
        """Give up everything held: consumers and deliveries, then exclusive queues (A1.13, T18)."""
        while self.credential_timers:
            self.credential_timers.pop().cancel()
        channels = list(self.channels.values())
        quotas.leave_vhost(self)
        for channel in channels:
            channel.leave()
        for channel in channels:
            channel.close()
        for queue in list(self.exclusive_queues.values()):
            queue.owner = None
            assert self.vhost is not None
            self.vhost.delete_queue(queue)
        self.exclusive_queues.clear()
        self.stalled_consumers.clear()
        self.broker.sessions.discard(self)


def _nobody() -> None:
    """Wake nobody: the connection is gone."""


async def _at_once() -> None:
    """Wait for nothing: nobody reads."""


def _failing(error: AmqpError, event: Event | None) -> tuple[int, int]:
    """Return class and method of what failed."""
    if error.failing != (0, 0):
        return error.failing
    if isinstance(event, Method):
        return event.class_id, event.method_id
    if isinstance(event, Publish):
        return 60, 40
    if isinstance(event, Acks):
        return 60, 80
    return 0, 0
