"""Basic.publish (FEATURES A5): check, route, enqueue. The hot path."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from amqpbroker.auth.permissions import check_user_id
from amqpbroker.broker.ack_extension import ExtensionRoute, asks_for_time
from amqpbroker.broker.arguments import expiry_error
from amqpbroker.broker.delayed import DelayedRoute
from amqpbroker.broker.error_note import ErrorNoteRoute, tells_an_error
from amqpbroker.broker.message import Message, without_bcc
from amqpbroker.broker.names import REPLY_TO, REPLY_TO_PREFIX
from amqpbroker.broker.router import (
    Route,
    find_queues,
    find_queues_once,
    is_keyed,
    is_plain,
    is_stable,
)
from amqpbroker.errors import access_refused, not_implemented, precondition_failed
from amqpbroker.routing.types.topic_exchange import TopicExchange
from amqpbroker.wire.events import Publish

if TYPE_CHECKING:
    from amqpbroker.broker.channel import Channel
    from amqpbroker.broker.direct_reply_to import ReplyConsumer
    from amqpbroker.routing.exchange import Exchange
    from amqpbroker.wire.content import Publication

_LEADING_INTEGER: Final = re.compile(r"[+-]?[0-9]+")


def publish(channel: Channel, event: Publish) -> None:
    """Take one or more messages that share a publication.

    Raises :class:`~amqpbroker.errors.AmqpError`: 403, 404, 406, or 540 for ``immediate``.
    """
    publication = event.publication
    bodies = event.bodies
    routes = channel.session.routes
    known = routes.get(publication, channel.vhost.epoch)
    if known is not None:
        _accept(channel, known, bodies)
        return
    exchange = _check(channel, publication)
    seen = _rewritten(channel, publication)
    interceptors = channel.session.broker.interceptors
    if interceptors.is_active:
        seen = interceptors.apply(seen)
    route: Route | None = _delayed(channel, seen)
    if asks_for_time(seen):
        route = ExtensionRoute(seen)
    elif tells_an_error(seen):
        route = ErrorNoteRoute(seen)
    windows = channel.vhost.windows
    if route is None and not is_stable(channel.vhost, exchange):
        _ = publication.extra_keys  # refused if malformed, whether the exchange looks or not
        for body in bodies:
            queues = find_queues_once(channel.vhost, exchange, Message(seen, body))
            _accept(channel, windows.guarded(windows.route(seen, queues)), [body])
        return
    if route is None:
        queues = find_queues(channel.vhost, exchange, publication)
        route = windows.route(seen, queues, _replies(channel, seen))
    route = windows.guarded(route)
    is_for_once = route.reply_consumer is not None or interceptors.is_active
    if not is_for_once and publication.properties.get("reply_to") != REPLY_TO:
        routes.remember(publication, route)
        # A route of another kind is not for all publications with this key.
        is_by_key = type(route) is Route and not windows.is_used
        if is_by_key and is_keyed(channel.vhost, exchange) and is_plain(publication):
            routes.remember_key(route)
    _accept(channel, route, bodies)


def _delayed(channel: Channel, publication: Publication) -> DelayedRoute | None:
    """Return the route of messages that are to come later (N2), None if they are not.

    Replies to a requester are not worth keeping.
    """
    headers = publication.headers
    if not headers or not channel.vhost.delayed.delays(headers):
        return None
    if _replies(channel, publication) is not None:
        return None
    _ = publication.extra_keys  # refused now if malformed, not when it is due
    return DelayedRoute(publication, channel.vhost.delayed)


def _accept(channel: Channel, route: Route, bodies: list[bytes]) -> None:
    if channel.transaction is not None:
        channel.transaction.publish(route, bodies)
        return
    ticket, refused = route.publish(channel, bodies)
    confirms = channel.confirms
    if confirms is not None:
        confirms.publish(len(bodies), ticket, refused)
        if ticket:
            journal = channel.session.broker.journal
            assert journal is not None
            journal.notify(confirms)


def _check(channel: Channel, publication: Publication) -> Exchange:
    """Check a publish in RabbitMQ's order; return its exchange."""
    if publication.immediate:
        raise not_implemented("immediate=true")
    session = channel.session
    name = publication.exchange
    session.check("exchange", name, "write")
    exchange = channel.vhost.exchange(name)
    if exchange.is_internal:
        raise access_refused(f"cannot publish to internal {channel.described('exchange', name)}")
    principal = session.principal
    assert principal is not None
    properties = publication.properties
    if properties.get("reply_to") == REPLY_TO and channel.reply_consumer is None:
        raise precondition_failed("fast reply consumer does not exist")
    check_user_id(principal, properties.get("user_id"))
    _check_expiration(properties.get("expiration"))
    if isinstance(exchange, TopicExchange):
        for key in (publication.routing_key, *publication.extra_keys):
            session.permits.check_topic(session, name, key, "write")
    return exchange


def _check_expiration(expiration: str | None) -> None:
    """Refuse an expiration that is not a time in ms (FEATURES A5.8); worded as RabbitMQ does."""
    if expiration is None:
        return
    number = _LEADING_INTEGER.match(expiration)
    if number is None:
        wrong: str | None = "no_integer"
    elif number.end() < len(expiration):
        wrong = f'{{leftover_string,"{expiration[number.end() :]}"}}'
    else:
        wrong = expiry_error(int(expiration))
    if wrong is not None:
        raise precondition_failed(f"invalid expiration '{expiration}': {wrong}")


def _rewritten(channel: Channel, publication: Publication) -> Publication:
    """Return what consumers see: no BCC, and a reply_to that leads back (A5.10, A5.16)."""
    if publication.properties.get("reply_to") == REPLY_TO:
        assert channel.reply_consumer is not None
        publication = publication.changed(reply_to=channel.reply_consumer.queue_name)
    return without_bcc(publication)


def _replies(channel: Channel, publication: Publication) -> ReplyConsumer | None:
    """Return the requester that a message to the default exchange answers."""
    if publication.exchange or not publication.routing_key.startswith(REPLY_TO_PREFIX):
        return None
    return channel.session.broker.reply_consumers.get(publication.routing_key)


HANDLERS: Final[dict[type, Any]] = {Publish: publish}
