"""Answers that wait until what they confirm is on the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqpbroker.errors import internal_error
from amqpbroker.storage.catalog import CatalogError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from amqpbroker.broker.channel import Channel
    from amqpbroker.storage.catalog import Ticket
    from amqpbroker.wire.codec import Method


def answer(
    channel: Channel,
    method: Method,
    *,
    nowait: bool = False,
    then: Callable[[], None] = lambda: None,
) -> Awaitable[None] | None:
    """Send the answer to a method that may have changed durable definitions, then call ``then``.

    Call it right after the change. With ``nowait`` nothing is sent and nothing waited for.
    """
    session = channel.session
    store = session.broker.store
    ticket = store.take_ticket() if store is not None else None
    if ticket is None or ticket.is_done or nowait:
        if not nowait:
            session.send(channel.number, method)
        then()
        return None
    return _answer_when_stored(channel, method, ticket, then)


async def _answer_when_stored(
    channel: Channel, method: Method, ticket: Ticket, then: Callable[[], None]
) -> None:
    session = channel.session
    session.broker.flush()
    try:
        await ticket.wait()
    except CatalogError as error:
        then()
        raise internal_error(f"not stored: {error}") from error
    if session.channels.get(channel.number) is channel:
        session.send(channel.number, method)
    then()
