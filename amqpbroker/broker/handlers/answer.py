"""Answers that wait until what they confirm is on the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amqpbroker.errors import internal_error
from amqpbroker.storage.catalog import CatalogError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from amqpbroker.broker.channel import Channel
    from amqpbroker.storage.catalog import Ticket
    from amqpbroker.wire.codec import Method


def answer(
    channel: Channel,
    method: Method,
    *,
    nowait: bool = False,
    then: Callable[[], None] = lambda: None,
) -> Answer | None:
    """Send the answer to a method that may have changed durable definitions, then call ``then``.

    Call it right after the change. Returns None if that could be done at once, else what does it
    when awaited. With ``nowait`` nothing is sent, and what is not stored not waited for.
    """
    session = channel.session
    store = session.broker.store
    ticket = store.take_ticket() if store is not None else None
    if nowait or (ticket is not None and ticket.is_done):
        ticket = None
    if ticket is None and not session.owed_answers:
        if not nowait:
            session.send(channel.number, method)
        then()
        return None
    return Answer(channel, None if nowait else method, ticket, then)


class Answer:
    """An answer that waits for the disk. Others to the same connection must not overtake it."""

    __slots__ = ("_channel", "_method", "_then", "_ticket")

    def __init__(
        self,
        channel: Channel,
        method: Method | None,
        ticket: Ticket | None,
        then: Callable[[], None],
    ) -> None:
        self._channel = channel
        self._method = method
        self._ticket = ticket
        self._then = then

    def __await__(self) -> Generator[Any, None, None]:
        """Wait and answer; raises :class:`~amqpbroker.errors.HardError` 541 if it is not stored."""
        return self._send().__await__()

    async def _send(self) -> None:
        channel = self._channel
        session = channel.session
        try:
            if self._ticket is not None:
                if not self._ticket.is_done:
                    session.broker.flush()
                await self._ticket.wait()
            if self._method is not None and session.channels.get(channel.number) is channel:
                session.send(channel.number, self._method)
        except CatalogError as error:
            raise internal_error(f"not stored: {error}") from error
        finally:
            self._then()

    def give_up(self) -> None:
        """Nobody is there to be answered: do what would have followed."""
        self._then()
