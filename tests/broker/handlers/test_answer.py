"""Answers wait for the disk, and only then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import anyio
import pytest
from pamqp import commands

from amqpbroker.broker.handlers.answer import answer
from amqpbroker.broker.session import OWED_ANSWERS_MAX
from amqpbroker.errors import HardError
from amqpbroker.storage.catalog import CatalogError
from amqpbroker.wire.methods import QueueDeleteOk
from tests.amqp_bytes import command_frame

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


def declares(*names: str) -> bytes:
    return b"".join(
        command_frame(commands.Queue.Declare(queue=name, durable=True), 1) for name in names
    )


async def test_definitions_in_a_row_wait_together(client: MemoryClient) -> None:
    ticket = Ticket()
    store(client, ticket)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.session.receive, declares("a", "b"))
        await anyio.wait_all_tasks_blocked()
        assert {"a", "b"} <= set(client.broker.vhosts["/"].queues)
        assert client.is_silent
        ticket.stored.set()
    client.broker.flush()
    assert [client.read(commands.Queue.DeclareOk).queue for _ in range(2)] == ["a", "b"]


async def test_only_so_many_wait_together(client: MemoryClient) -> None:
    ticket = Ticket()
    store(client, ticket)
    names = [f"q{number}" for number in range(OWED_ANSWERS_MAX + 1)]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.session.receive, declares(*names))
        await anyio.wait_all_tasks_blocked()
        assert names[-2] in client.broker.vhosts["/"].queues
        assert names[-1] not in client.broker.vhosts["/"].queues
        ticket.stored.set()
    client.broker.flush()
    assert [client.read(commands.Queue.DeclareOk).queue for _ in names] == names


async def test_what_needs_no_disk_does_not_overtake(client: MemoryClient) -> None:
    ticket = Ticket()
    store(client, ticket)
    passive = command_frame(commands.Queue.Declare(queue="a", passive=True), 1)
    purge = command_frame(commands.Queue.Purge(queue="a"), 1)
    error = command_frame(commands.Queue.Declare(queue="none", passive=True), 1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.session.receive, declares("a") + passive + purge + error)
        await anyio.wait_all_tasks_blocked()
        assert client.is_silent
        ticket.stored.set()
    client.broker.flush()
    client.read(commands.Queue.DeclareOk)
    client.read(commands.Queue.DeclareOk)
    client.read(commands.Queue.PurgeOk)
    client.expect_channel_error(404, "NOT_FOUND - no queue 'none' in vhost '/'", (50, 10))


async def test_an_error_comes_after_the_answers_to_what_came_before(client: MemoryClient) -> None:
    ticket = Ticket()
    ticket.stored.set()
    store(client, ticket)
    error = command_frame(commands.Queue.Declare(queue="none", passive=True), 1)
    await client.session.receive(declares("a") + error)
    client.broker.flush()
    assert client.read(commands.Queue.DeclareOk).queue == "a"
    client.expect_channel_error(404, "NOT_FOUND - no queue 'none' in vhost '/'", (50, 10))


async def test_nothing_more_is_done_once_something_could_not_be_stored(
    client: MemoryClient,
) -> None:
    ticket = Ticket(error=CatalogError("disk full"))
    ticket.stored.set()
    store(client, ticket)
    names = [f"q{number}" for number in range(OWED_ANSWERS_MAX + 1)]
    await client.session.receive(declares(*names))
    client.broker.flush()
    client.expect_connection_error(541, "INTERNAL_ERROR - not stored: disk full", (50, 10))
    assert names[-1] not in client.broker.vhosts["/"].queues


async def test_what_follows_is_done_though_the_client_has_gone(
    client: MemoryClient, other: MemoryClient
) -> None:
    """FEATURES A6.13: other clients learn that their queue was deleted, whoever deleted it."""
    for name in ("a", "b"):
        other.declare(name)
        other.consume(name, tag=name)
    store(client, Ticket())
    deletes = [command_frame(commands.Queue.Delete(queue=name), 1) for name in ("a", "b")]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.session.receive, b"".join(deletes))
        await anyio.wait_all_tasks_blocked()
        assert other.is_silent
        tasks.cancel_scope.cancel()
    client.broker.flush()
    assert [other.read(commands.Basic.Cancel).consumer_tag for _ in range(2)] == ["a", "b"]
    assert client.is_silent
