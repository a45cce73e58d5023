"""Answers wait for the disk, and only then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import anyio
import pytest
from pamqp import commands

from amqpbroker.broker.handlers.answer import answer
from amqpbroker.errors import HardError
from amqpbroker.storage.catalog import CatalogError
from amqpbroker.wire.methods import QueueDeleteOk

if TYPE_CHECKING:
    from amqpbroker.broker.store import Store
    from tests.broker.client import MemoryClient


class Ticket:
    """A change that is stored when the test says so."""

    def __init__(self, *, is_done: bool = False, error: Exception | None = None) -> None:
        self.is_done = is_done
        self.error = error
        self.stored = anyio.Event()

    async def wait(self) -> None:
        await self.stored.wait()
        if self.error is not None:
            raise self.error

    def take_ticket(self) -> Any:
        """Be the store as well: there is one change to wait for."""
        return self


def store(client: MemoryClient, ticket: Ticket) -> None:
    client.broker.store = cast("Store", ticket)


def counts_of(client: MemoryClient) -> list[int | None]:
    client.broker.flush()
    got = []
    while not client.is_silent:
        got.append(client.read(commands.Queue.DeleteOk).message_count)
    return got


def test_without_a_store_the_answer_is_sent_at_once(client: MemoryClient) -> None:
    assert answer(client.channel(), QueueDeleteOk(1)) is None
    assert answer(client.channel(), QueueDeleteOk(2), nowait=True) is None
    assert counts_of(client) == [1]


def test_what_is_stored_already_is_not_waited_for(client: MemoryClient) -> None:
    store(client, Ticket(is_done=True))
    assert answer(client.channel(), QueueDeleteOk(1)) is None
    assert counts_of(client) == [1]


async def test_the_answer_waits(client: MemoryClient) -> None:
    ticket = Ticket()
    store(client, ticket)
    pending = answer(client.channel(), QueueDeleteOk(1))
    assert pending is not None
    assert counts_of(client) == []
    ticket.stored.set()
    await pending
    assert counts_of(client) == [1]


async def test_what_was_not_stored_is_an_internal_error(client: MemoryClient) -> None:
    ticket = Ticket(error=CatalogError("disk full"))
    ticket.stored.set()
    store(client, ticket)
    pending = answer(client.channel(), QueueDeleteOk(1))
    assert pending is not None
    with pytest.raises(HardError, match="not stored: disk full"):
        await pending
    assert counts_of(client) == []


async def test_a_channel_that_has_gone_meanwhile_is_not_answered(client: MemoryClient) -> None:
    ticket = Ticket()
    ticket.stored.set()
    store(client, ticket)
    pending = answer(client.channel(), QueueDeleteOk(1))
    client.broker.store = None
    client.close()
    assert pending is not None
    await pending
    assert counts_of(client) == []


def test_nowait_waits_for_nothing(client: MemoryClient) -> None:
    store(client, Ticket())
    assert answer(client.channel(), QueueDeleteOk(1), nowait=True) is None
    assert counts_of(client) == []
