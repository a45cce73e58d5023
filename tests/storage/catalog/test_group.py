"""Groups and tickets."""

from __future__ import annotations

import pytest
from anyio import create_task_group
from anyio.lowlevel import checkpoint

from amqpbroker.storage.catalog import CatalogError, ChangeRefused
from amqpbroker.storage.catalog.group import Change, Group

CHANGE = Change("", ())


async def test_a_ticket_waits_for_its_group() -> None:
    group, returned = Group(), []
    ticket = group.stage(CHANGE)

    async def wait() -> None:
        await ticket.wait()
        returned.append(ticket)

    async with create_task_group() as tasks:
        tasks.start_soon(wait)
        await checkpoint()
        assert not ticket.is_done
        assert not returned
        group.succeed({})
        assert ticket.is_done
    assert returned == [ticket]
    await ticket.wait()


async def test_a_refusal_concerns_one_ticket() -> None:
    group = Group()
    first, second = group.stage(CHANGE), group.stage(CHANGE)
    group.succeed({1: ChangeRefused("no")})
    await first.wait()
    with pytest.raises(ChangeRefused, match="no"):
        await second.wait()


async def test_a_failure_concerns_every_ticket_each_with_its_own_error() -> None:
    group = Group()
    raised = []
    for ticket in (group.stage(CHANGE), group.stage(CHANGE)):
        if not group.is_done:
            group.fail(CatalogError("full"))
        with pytest.raises(CatalogError, match="full") as caught:
            await ticket.wait()
        raised.append(caught.value)
    assert raised[0] is not raised[1]
