"""How queues come by the bodies of their messages."""

from __future__ import annotations

import pytest

from amqpbroker.broker.bodies import (
    bodies_now,
    in_memory,
    is_at_hand,
    take_paged,
    wait_for_head,
)
from amqpbroker.errors import HardError
from amqpbroker.storage.log import Corrupt
from tests.broker.durable import PERSISTENT, DurableBroker, running

BODIES = [b"%d" % number for number in range(8)]


@pytest.fixture
async def durable() -> DurableBroker:
    """A broker without room: the first two messages of q are in memory, six are not."""
    durable = await running(body_memory_limit=2)
    client = durable.connect()
    client.declare("q", durable=True)
    for start in range(0, len(BODIES), 2):
        client.publish("q", *BODIES[start : start + 2], header=PERSISTENT)
        await durable.commit()
    return durable


async def test_a_run_ends_where_the_next_body_is_not_at_hand(durable: DurableBroker) -> None:
    queue = durable.connect().queue("q")
    messages = list(queue.ready)
    taken = take_paged(queue, 99, 1000)
    assert taken is not None
    assert (taken.position, taken.run, taken.bodies) == (0, messages[:2], BODIES[:2])
    assert list(queue.ready) == messages[2:]
    assert take_paged(queue, 99, 1000) is None
    await durable.read_back()
    taken = take_paged(queue, 99, 1000)
    assert taken is not None
    assert (taken.position, taken.bodies, taken.is_redelivered) == (2, BODIES[2:4], False)


async def test_the_head_is_waited_for(durable: DurableBroker) -> None:
    queue = durable.connect().queue("q")
    assert wait_for_head(queue) is None
    take_paged(queue, 99, 1000)
    waiting = wait_for_head(queue)
    assert waiting is not None
    await durable.read_back()
    await waiting
    assert wait_for_head(queue) is None
    queue.purge()
    assert wait_for_head(queue) is None


async def test_bodies_are_had_at_once_where_it_must_be(durable: DurableBroker) -> None:
    messages = list(durable.connect().queue("q").ready)
    assert bodies_now(durable.journal.pager, messages) == BODIES
    assert bodies_now(None, messages[:2]) == in_memory(messages[:2]) == BODIES[:2]


async def test_a_body_that_cannot_be_had_ends_the_log(
    durable: DurableBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(start: int) -> None:
        raise Corrupt("00.log", start, "wrong checksum")

    client = durable.connect()
    queue = client.queue("q")
    messages = list(queue.ready)
    monkeypatch.setattr(durable.log, "read_now", fail)
    assert bodies_now(durable.journal.pager, messages) is None
    assert durable.journal.failure is not None
    take_paged(queue, 99, 1000)
    take_paged(queue, 99, 1000)
    await durable.read_back()
    assert not is_at_hand(durable.journal.pager, messages[-1], lambda: None)
    assert take_paged(queue, 99, 1000) is None
    assert list(queue.ready) == messages[2:]
    with pytest.raises(HardError, match="cannot be read"):
        wait_for_head(queue)


async def test_a_message_that_is_not_where_it_should_be_is_not_delivered(
    durable: DurableBroker,
) -> None:
    queue = durable.connect().queue("q")
    take_paged(queue, 2, 1000)
    head = queue.ready.peek()
    assert head is not None
    assert take_paged(queue, 99, 1000) is None
    await durable.read_back()
    head.sequence = 999
    assert take_paged(queue, 99, 1000) is None
    assert durable.journal.failure is not None
    assert queue.ready.peek() is head
