"""Class exchange (FEATURES A3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from amqpbroker.broker.arguments import atom, check_same, check_same_arguments
from amqpbroker.broker.handlers.answer import answer
from amqpbroker.broker.handlers.bindings import bind_destination, unbind_destination
from amqpbroker.broker.names import RESERVED_PREFIX, check_new, strip_line_ends
from amqpbroker.errors import access_refused, precondition_failed
from amqpbroker.routing.binding import Destination
from amqpbroker.routing.exchange import ALTERNATE_EXCHANGE
from amqpbroker.routing.registry import TYPE_NAMES, create_exchange
from amqpbroker.wire.methods import (
    ExchangeBind,
    ExchangeBindOk,
    ExchangeDeclare,
    ExchangeDeclareOk,
    ExchangeDelete,
    ExchangeDeleteOk,
    ExchangeUnbind,
    ExchangeUnbindOk,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from amqpbroker.broker.channel import Channel
    from amqpbroker.routing.exchange import Exchange

_COMPARED: Final = (ALTERNATE_EXCHANGE,)


def check_not_default(name: str) -> None:
    """Keep hands off the default exchange.

    Raises :class:`~amqpbroker.errors.SoftError` 403 (FEATURES A3.6).
    """
    if not name:
        raise access_refused("operation not permitted on the default exchange")


def declare(channel: Channel, event: ExchangeDeclare) -> Awaitable[None] | None:
    """Declare an exchange, or with ``passive`` only look whether it exists (FEATURES A3.1-A3.5).

    Raises :class:`~amqpbroker.errors.SoftError` 403, 404 or 406.
    """
    name = strip_line_ends(event.exchange)
    if event.passive:
        check_not_default(name)
        channel.vhost.exchange(name)
    else:
        _declare(channel, name, event)
    return answer(channel, ExchangeDeclareOk(), nowait=event.nowait)


def _declare(channel: Channel, name: str, event: ExchangeDeclare) -> None:
    if event.type not in TYPE_NAMES:
        raise precondition_failed(f"unknown exchange type '{event.type}'")
    check_not_default(name)
    session = channel.session
    session.check("exchange", name, "configure")
    exchange = channel.vhost.exchanges.get(name)
    if exchange is None:
        session.broker.imports.check_free("exchange", channel.vhost.name, name)
        check_new("exchange", name)
        channel.vhost.add_exchange(_create(channel, name, event))
    else:
        _check_same(channel, exchange, event)


def _create(channel: Channel, name: str, event: ExchangeDeclare) -> Exchange:
    exchange = create_exchange(
        event.type,
        name,
        is_durable=event.durable,
        is_auto_delete=event.auto_delete,
        is_internal=event.internal,
        arguments=event.arguments,
        vhost=channel.vhost.name,
    )
    if exchange.alternate is not None:
        channel.session.check("exchange", name, "read")
        channel.session.check("exchange", exchange.alternate, "write")
    return exchange


def _check_same(channel: Channel, exchange: Exchange, event: ExchangeDeclare) -> None:
    where = channel.described("exchange", exchange.name)
    check_same("type", where, atom(exchange.type_name), atom(event.type))
    check_same("durable", where, exchange.is_durable, event.durable)
    check_same("auto_delete", where, exchange.is_auto_delete, event.auto_delete)
    check_same("internal", where, exchange.is_internal, event.internal)
    check_same_arguments(_COMPARED, where, exchange.arguments, event.arguments)


def delete(channel: Channel, event: ExchangeDelete) -> Awaitable[None] | None:
    """Delete an exchange; one that is not there is fine (FEATURES A3.7).

    Raises :class:`~amqpbroker.errors.SoftError` 403, or 406 if it is used and must not be.
    """
    name = strip_line_ends(event.exchange)
    check_not_default(name)
    where = channel.described("exchange", name)
    if name.startswith(RESERVED_PREFIX):
        raise access_refused(f"deletion of system {where} not allowed")
    channel.session.check("exchange", name, "configure")
    exchange = channel.vhost.exchanges.get(name)
    if exchange is not None:
        if event.if_unused and exchange.bindings:
            raise precondition_failed(f"{where} in use")
        channel.vhost.delete_exchange(exchange)
    return answer(channel, ExchangeDeleteOk(), nowait=event.nowait)


def bind(channel: Channel, event: ExchangeBind) -> Awaitable[None] | None:
    """Bind an exchange to another (FEATURES A3.10)."""
    bind_destination(
        channel,
        strip_line_ends(event.source),
        Destination("exchange", strip_line_ends(event.destination)),
        event.routing_key,
        event.arguments,
    )
    return answer(channel, ExchangeBindOk(), nowait=event.nowait)


def unbind(channel: Channel, event: ExchangeUnbind) -> Awaitable[None] | None:
    """Remove a binding between exchanges; one that is not there is fine."""
    unbind_destination(
        channel,
        strip_line_ends(event.source),
        Destination("exchange", strip_line_ends(event.destination)),
        event.routing_key,
        event.arguments,
    )
    return answer(channel, ExchangeUnbindOk(), nowait=event.nowait)


HANDLERS: Final[dict[type, Any]] = {
    ExchangeDeclare: declare,
    ExchangeDelete: delete,
    ExchangeBind: bind,
    ExchangeUnbind: unbind,
}
