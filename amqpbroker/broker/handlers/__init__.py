"""What each event does: one plain function per event type, looked up by the type.

A handler may return an awaitable where it must wait (a slow password check); the connection
handles nothing else meanwhile, so order is kept; only definitions in a row share a visit to the
disk (see `DEFINITIONS`). Handlers raise ``SoftError`` and ``HardError``; the session turns these
into closes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from amqpbroker.auth.backends.backend import answered
from amqpbroker.broker.handlers import basic, channel, connection, exchange, publish, queue, settle
from amqpbroker.errors import SoftError, command_invalid
from amqpbroker.wire.connection import State
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


async def handle_when_answered(session: Session, number: int, event: Event) -> None:
    """Act on an event whose permissions are asked elsewhere: nothing was done yet.

    What came before is sent now, because the answer may take its time. Raises as ``handle``.
    """
    await session.give_answers()
    session.broker.flush()

    def begin() -> Awaitable[None] | None:
        if session.wire.state in (State.CLOSING, State.CLOSED):
            return None
        return handle(session, number, event)

    pending = await answered(begin)
    if pending is not None:
        await pending


def handle(session: Session, number: int, event: Event) -> Awaitable[None] | None:
    """Act on an event.

    Raises :class:`~amqpbroker.errors.AmqpError`, and
    :class:`~amqpbroker.auth.backends.backend.Unanswered`: use ``handle_when_answered``.
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
