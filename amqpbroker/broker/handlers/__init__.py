"""What each event does: one plain function per event type, looked up by the type.

A handler may return an awaitable where it must wait (a slow password check); the connection
handles nothing else meanwhile, so order is kept; only definitions in a row share a visit to the
disk (see `DEFINITIONS`). Handlers raise ``SoftError`` and ``HardError``; the session turns these
into closes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from amqpbroker.broker.handlers import basic, channel, connection, exchange, publish, queue, settle
from amqpbroker.errors import SoftError, command_invalid
from amqpbroker.wire.methods import ChannelOpen, QueuePurge

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from amqpbroker.broker.session import Session
    from amqpbroker.wire.events import Event

CONNECTION_HANDLERS: dict[type, Callable[..., Awaitable[None] | None]] = connection.HANDLERS
"""On channel 0: called with session and event."""

CHANNEL_HANDLERS: dict[type, Callable[[Any, Any], Awaitable[None] | None]] = {
    **basic.HANDLERS,
    **channel.HANDLERS,
    **exchange.HANDLERS,
    **publish.HANDLERS,
    **queue.HANDLERS,
    **settle.HANDLERS,
}
"""On an open channel: called with channel and event."""

DEFINITIONS: Final = frozenset({*exchange.HANDLERS, *queue.HANDLERS} - {QueuePurge})
"""What may go ahead while answers to others of its kind wait for the disk: it says nothing but by
``answer``, so order is kept."""


def handle(session: Session, number: int, event: Event) -> Awaitable[None] | None:
    """Act on an event.

    Raises :class:`~amqpbroker.errors.AmqpError`.
    """
    if number == 0:
        return CONNECTION_HANDLERS[type(event)](session, event)
    opened = session.channels.get(number)
    if opened is not None:
        handler = CHANNEL_HANDLERS.get(type(event))
        if handler is None:
            raise event if isinstance(event, SoftError) else command_invalid("unimplemented method")
        return handler(opened, event)
    if type(event) is ChannelOpen:
        channel.open_channel(session, number)
    return None
