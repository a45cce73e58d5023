"""From a publication to the queues that get it.

Working out a route costs many times what using it does, so it is remembered twice: by publication
in the session (the same client repeating itself, checks included) and by (exchange, routing key) in
the vhost. Both are void as soon as ``vhost.epoch`` is replaced, which every change of exchanges,
queues, bindings and permissions does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from amqpbroker.broker.names import DELAY, DELIVER_AT
from amqpbroker.routing.message import SENDER_SELECTED_HEADERS
from amqpbroker.routing.route import DEFAULT_EXCHANGE, reachable, route

if TYPE_CHECKING:
    from amqpbroker.broker.channel import Channel
    from amqpbroker.broker.direct_reply_to import ReplyConsumer
    from amqpbroker.broker.message import Message
    from amqpbroker.broker.queue import Queue
    from amqpbroker.broker.stream_queue import StreamQueue
    from amqpbroker.broker.vhost import VHost
    from amqpbroker.routing.exchange import Exchange
    from amqpbroker.routing.message import Routable
    from amqpbroker.wire.content import Publication

ROUTE_CACHE_COUNT_MAX: Final = 16384
"""Routes remembered per vhost by (exchange, routing key)."""

ROUTE_MEMO_COUNT_MAX: Final = 64
"""Routes remembered per session: as many as the connection remembers publications."""

_SPECIAL_PROPERTIES: Final = frozenset({"expiration", "reply_to", "user_id"})
_SPECIAL_HEADERS: Final = frozenset({*SENDER_SELECTED_HEADERS, DELAY, DELIVER_AT})
"""What is checked, changes the route, or is changed (FEATURES A5.8-A5.10, A5.16, N2)."""


class Route:
    """Where messages of a publication go, and what consumers see of it."""

    __slots__ = ("durable_queues", "is_kept", "publication", "queues", "reply_consumer", "streams")

    def __init__(
        self,
        publication: Publication,
        queues: tuple[Queue, ...],
        reply_consumer: ReplyConsumer | None = None,
    ) -> None:
        self.publication = publication
        self.streams = [cast("StreamQueue", q) for q in queues if q.type == "stream"]
        """Those that keep all messages, in logs of their own."""
        self.queues = queues
        is_persistent = publication.is_persistent
        self.durable_queues = [
            queue
            for queue in queues
            if queue.journal is not None and (is_persistent or queue.keeps_transient)
        ]
        """Those that keep messages of this publication on disk."""
        self.is_kept = bool(self.durable_queues or self.streams)
        self.reply_consumer = reply_consumer
        if publication.has("expiration"):
            for queue in queues:
                if queue.type != "stream":
                    queue.expect_expiry()

    def like(self, publication: Publication) -> Route:
        """Return the route of a plain publication that goes the same way and is as persistent."""
        route = Route.__new__(Route)
        route.publication = publication
        route.queues = self.queues
        route.streams = self.streams
        route.durable_queues = self.durable_queues
        route.is_kept = self.is_kept
        route.reply_consumer = None
        return route

    @property
    def leads_somewhere(self) -> bool:
        """Whether messages come to a queue."""
        return any(not queue.is_deleted for queue in self.queues)

    def publish(self, channel: Channel | None, bodies: list[bytes]) -> tuple[int, int]:
        """Bring messages to the queues; return those that reach none and are mandatory.

        ``channel`` is None for messages that the broker moves by itself; nobody wants these back.
        Returns the number of the commit that makes the messages safe, 0 if there is nothing to
        wait for, and how many of them a queue has refused: the last ones.
        """
        if self.is_kept:
            return self._keep(bodies)
        publication = self.publication
        refused = 0
        if self.queues:
            for queue in self.queues:
                if not queue.is_deleted:
                    count = queue.publish(publication, bodies)
                    if count > refused:
                        refused = count
        elif self.reply_consumer is not None:
            self.reply_consumer.deliver(publication, bodies)
        elif publication.mandatory and channel is not None:
            channel.session.return_unroutable(channel, publication, bodies)
        return 0, refused

    def again(self, vhost: VHost) -> Route:
        """Return the route to the queues that have the names now; special ones stay as they are."""
        if type(self) is not Route:
            return self
        if self.publication.exchange == DEFAULT_EXCHANGE:
            queues = find_queues(vhost, vhost.exchange(DEFAULT_EXCHANGE), self.publication)
        else:
            names = [queue.name for queue in self.queues]
            queues = tuple(vhost.queues[name] for name in names if name in vhost.queues)
        return Route(self.publication, queues, self.reply_consumer)

    def _keep(self, bodies: list[bytes]) -> tuple[int, int]:
        messages: list[Message] | None = None
        ticket = refused = 0
        durable = [queue for queue in self.durable_queues if not queue.is_deleted]
        if durable:
            journal = durable[0].journal
            assert journal is not None
            messages = journal.enqueue(self.publication, bodies, durable)
            ticket = journal.ticket
        for queue in self.queues:
            if not queue.is_deleted:
                kept = messages if queue in self.durable_queues else None
                refused = max(refused, queue.publish(self.publication, bodies, kept))
        for stream in self.streams:
            if not stream.is_deleted:
                ticket = ticket or stream.ticket
        return ticket, refused


class RouteMemo:
    """The routes of the last publications of one session, and of plain ones by their keys.

    They are not kept on the publications: queued messages would hold them for as long as they wait,
    each in a reference cycle that only the cycle collector frees.
    """

    __slots__ = ("_epoch", "_keyed", "_routes")

    def __init__(self) -> None:
        self._routes: dict[Publication, Route] = {}
        self._keyed: dict[tuple[str, str, bool], Route] = {}
        """By exchange, routing key, and whether the publication is persistent."""
        self._epoch: object = None

    def get(self, publication: Publication, epoch: object) -> Route | None:
        """Return the route that was remembered in this epoch of the vhost, if one was.

        A plain publication has one if others with its exchange and routing key were remembered.
        """
        if epoch is not self._epoch:
            self._routes.clear()
            self._keyed.clear()
            self._epoch = epoch
        route = self._routes.get(publication)
        if route is None and self._keyed:
            route = self._keyed.get(_key(publication))
            if route is not None:
                return route.like(publication) if is_plain(publication) else None
        return route

    def remember(self, publication: Publication, route: Route) -> None:
        """Keep a route, for as long as the epoch last asked for."""
        if len(self._routes) >= ROUTE_MEMO_COUNT_MAX:
            self._routes.clear()
        self._routes[publication] = route

    def remember_key(self, route: Route) -> None:
        """Keep how all plain publications go that have this exchange and routing key.

        For keyed exchanges only, and if the publication of ``route`` is plain and has passed all
        checks.
        """
        if len(self._keyed) >= ROUTE_MEMO_COUNT_MAX:
            self._keyed.clear()
        self._keyed[_key(route.publication)] = route


def _key(publication: Publication) -> tuple[str, str, bool]:
    return publication.exchange, publication.routing_key, publication.is_persistent


def is_plain(publication: Publication) -> bool:
    """Return whether exchange and routing key alone decide what may and will happen to it."""
    properties = publication.properties
    headers = properties.get("headers")
    return (
        not publication.immediate
        and _SPECIAL_PROPERTIES.isdisjoint(properties)
        and (headers is None or _SPECIAL_HEADERS.isdisjoint(headers))
    )


def is_stable(vhost: VHost, exchange: Exchange) -> bool:
    """Return whether equal messages to ``exchange`` have equal routes until the next epoch."""
    return all(passed.is_stable for passed in reachable(exchange, vhost.exchanges))


def is_keyed(vhost: VHost, exchange: Exchange) -> bool:
    """Return whether routing keys alone decide where messages to ``exchange`` go."""
    return all(passed.is_keyed for passed in reachable(exchange, vhost.exchanges))


def find_queues(vhost: VHost, exchange: Exchange, publication: Publication) -> tuple[Queue, ...]:
    """Return the queues for a publication.

    Raises :class:`~amqpbroker.errors.SoftError` 406 for malformed CC or BCC headers.
    """
    if publication.extra_keys:
        return _find(vhost, exchange, publication)
    key = (exchange.name, publication.routing_key)
    cached = vhost.routes.get(key)
    if cached is not None:
        return cached
    queues = _find(vhost, exchange, publication)
    if is_keyed(vhost, exchange):
        if len(vhost.routes) >= ROUTE_CACHE_COUNT_MAX:
            vhost.routes.clear()
        vhost.routes[key] = queues
    return queues


def find_queues_once(vhost: VHost, exchange: Exchange, message: Message) -> tuple[Queue, ...]:
    """Return the queues for one message; nothing is remembered, another may fare differently."""
    return _find(vhost, exchange, message)


def _find(vhost: VHost, exchange: Exchange, message: Routable) -> tuple[Queue, ...]:
    names = route(exchange, message, vhost.exchanges, vhost.queues)
    return tuple(vhost.queues[name] for name in names)
