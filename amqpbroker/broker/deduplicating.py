"""Routes that let no message through twice, and the windows of a vhost (FEATURES A9.18, A12.12).

An exchange looks when a message is published to it, a queue when a message of a client comes to it
(after a delay, if it has one). What the broker moves by itself is not looked at: a dead letter that
comes back to its queue would be taken for its own duplicate.

A duplicate is confirmed like the message that it repeats, and not before that one is safe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from amqpbroker.broker.deduplication import Window, WindowSettings
from amqpbroker.broker.router import Route
from amqpbroker.routing.deduplication import DEDUPLICATION
from amqpbroker.routing.types.deduplication_exchange import DeduplicationExchange

if TYPE_CHECKING:
    from amqpbroker.broker.channel import Channel
    from amqpbroker.broker.direct_reply_to import ReplyConsumer
    from amqpbroker.broker.queue import Queue
    from amqpbroker.broker.vhost import VHost
    from amqpbroker.routing.exchange import Exchange
    from amqpbroker.wire.content import Publication

WINDOW_PREFIX: Final = "\n" * 256
"""Of what the catalog calls windows: longer than the name of a queue can be."""
_OF_QUEUE: Final = WINDOW_PREFIX + "queue "
_OF_EXCHANGE: Final = WINDOW_PREFIX + "exchange "


class Windows:
    """The windows of a vhost; a vhost without any pays one look at ``is_used`` per route."""

    def __init__(self, vhost: VHost) -> None:
        self._vhost = vhost
        self._of_exchanges: dict[str, Window] = {}
        self.is_used = False
        """Whether any queue or exchange has one."""

    def add_queue(self, queue: Queue) -> None:
        """Give a new queue its window if it asks for one."""
        if DEDUPLICATION in queue.arguments and queue.arguments[DEDUPLICATION].value:
            settings = WindowSettings.of(queue.arguments)
            queue.window = Window(self._vhost, _OF_QUEUE + queue.name, settings)
            self.is_used = True

    def add_exchange(self, exchange: Exchange) -> None:
        """Give a new exchange its window if it asks for one."""
        _, is_asked_for = exchange.arguments.get(DEDUPLICATION, ("t", False))
        if is_asked_for or isinstance(exchange, DeduplicationExchange):
            settings = WindowSettings.of(exchange.arguments)
            window = Window(self._vhost, _OF_EXCHANGE + exchange.name, settings)
            self._of_exchanges[exchange.name] = window
            self.is_used = True

    def remove_exchange(self, exchange: Exchange) -> None:
        """Forget what an exchange has seen: it is deleted."""
        window = self._of_exchanges.pop(exchange.name, None)
        if window is not None:
            window.discard()

    def named(self, name: str) -> Window | None:
        """Return the window that the catalog calls so, None if nothing has it any more."""
        if name.startswith(_OF_QUEUE):
            queue = self._vhost.queues.get(name.removeprefix(_OF_QUEUE))
            return None if queue is None else queue.window
        return self._of_exchanges.get(name.removeprefix(_OF_EXCHANGE))

    def discard(self) -> None:
        """Forget everything: the vhost is deleted."""
        for window in self._of_exchanges.values():
            window.discard()
        self._of_exchanges.clear()

    # routes

    def route(
        self,
        publication: Publication,
        queues: tuple[Queue, ...],
        reply_consumer: ReplyConsumer | None = None,
    ) -> Route:
        """Return a route to queues, some of which may have windows."""
        if self.is_used and any(
            queue.window is not None and queue.window.expects_key(publication) for queue in queues
        ):
            return QueueWindowsRoute(publication, queues)
        return Route(publication, queues, reply_consumer)

    def guarded(self, route: Route) -> Route:
        """Return what the exchange that a route starts at makes of it."""
        if not self.is_used:
            return route
        window = self._of_exchanges.get(route.publication.exchange)
        if window is None or not window.expects_key(route.publication):
            return route
        return ExchangeWindowRoute(route, window)


class ExchangeWindowRoute(Route):
    """Another route, for messages that the exchange has not seen."""

    __slots__ = ("_inner", "_window")

    def __init__(self, inner: Route, window: Window) -> None:
        super().__init__(inner.publication, inner.queues, inner.reply_consumer)
        self._inner = inner
        self._window = window

    def publish(self, channel: Channel | None, bodies: list[bytes]) -> tuple[int, int]:
        """See :meth:`Route.publish`; a key is kept if its message is."""
        assert channel is not None
        window, publication, inner = self._window, self.publication, self._inner
        ticket = refused = 0
        for body in bodies:
            key = window.key_of(publication, body)
            known = None if key is None else window.ticket_of(key)
            if known is not None:
                ticket = max(ticket, known)
                continue
            kept_by, count = inner.publish(channel, [body])
            ticket = max(ticket, kept_by)
            refused += count
            if key is not None and not count and inner.leads_somewhere:
                journal = channel.session.broker.journal if kept_by else None
                window.remember(key, publication, journal)
        return ticket, refused


class QueueWindowsRoute(Route):
    """A route to queues of which some have windows."""

    __slots__ = ()

    def publish(self, channel: Channel | None, bodies: list[bytes]) -> tuple[int, int]:
        """See :meth:`Route.publish`; each queue takes what it has not seen."""
        ticket = refused = 0
        for body in bodies:
            kept_by, count = self._publish(body)
            ticket = max(ticket, kept_by)
            refused += count
        return ticket, refused

    def _publish(self, body: bytes) -> tuple[int, int]:
        ticket = 0
        takers: dict[Queue, bytes | None] = {}
        for queue in self.queues:
            if queue.is_deleted:
                continue
            window = queue.window
            key = None if window is None else window.key_of(self.publication, body)
            known = None if window is None or key is None else window.ticket_of(key)
            if known is None:
                takers[queue] = key
            else:
                ticket = max(ticket, known)
        if not takers:
            return ticket, 0
        kept_by, refused = self._bring(takers, body)
        return max(ticket, kept_by), refused

    def _bring(self, takers: dict[Queue, bytes | None], body: bytes) -> tuple[int, int]:
        """Bring a message to the queues that have not seen it, and have them remember it."""
        publication = self.publication
        durable = [queue for queue in self.durable_queues if queue in takers]
        journal = durable[0].journal if durable else None
        messages = None if journal is None else journal.enqueue(publication, [body], durable)
        refused = 0
        for queue, key in takers.items():
            is_kept = queue in durable
            count = queue.publish(publication, [body], messages if is_kept else None)
            refused = max(refused, count)
            if key is not None and queue.window is not None and not count:
                queue.window.remember(key, publication, journal if is_kept else None)
        return 0 if journal is None else journal.ticket, refused
