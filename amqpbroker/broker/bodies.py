"""The bodies of a queue's messages, in memory or not.

What delivers, fetches or dead-letters messages gets their bodies here. Where paging has never been
needed that is one attribute test. When the log cannot give a body back it fails as a whole: nothing
is confirmed any more, what is in it stays as it is, and the message is not delivered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

import anyio

from amqpbroker.broker.paging import READ_AHEAD_COUNT_MAX, READ_AHEAD_SIZE
from amqpbroker.errors import internal_error
from amqpbroker.storage.log import LogError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from amqpbroker.broker.message import Message
    from amqpbroker.broker.paging import Pager
    from amqpbroker.broker.queue import Queue


class Taken(NamedTuple):
    """Messages taken from the head: see `ReadyMessages.pop_run`."""

    position: int
    run: list[Message]
    bodies: list[bytes]
    is_redelivered: bool


def in_memory(messages: Sequence[Message]) -> list[bytes]:
    """Return the bodies of messages that are all in memory."""
    return cast("list[bytes]", [message.body for message in messages])


def may_deliver(queue: Queue) -> bool:
    """Return whether the first body is at hand, if a consumer may want it; else it pumps later."""
    if not queue.consumers.has_turns:
        return False
    head = queue.ready.peek()
    return head is not None and is_at_hand(queue.pager, head, queue.pump)


def take_paged(queue: Queue, count_max: int, size_max: int) -> Taken | None:
    """Take messages at the head; None if the first body is not at hand: the queue pumps later."""
    pager, ready = queue.pager, queue.ready
    assert pager is not None
    head = ready.peek()
    if head is None or not is_at_hand(pager, head, queue.pump):
        return None
    position, run, is_redelivered = ready.pop_run(count_max, size_max)
    bodies = pager.at_hand(run)
    if len(bodies) < len(run):
        ready.put_back(position + len(bodies), run[len(bodies) :])
        del run[len(bodies) :]
    distance = READ_AHEAD_SIZE // (head.publication.body_size + 1)
    coming = ready.look_ahead(min(distance, READ_AHEAD_COUNT_MAX))
    if coming is not None:
        pager.read_ahead(coming)
    if not run:
        is_at_hand(pager, head, queue.pump)  # it was missing where it should be
        return None
    return Taken(position, run, bodies, is_redelivered)


def wait_for_head(queue: Queue) -> Awaitable[object] | None:
    """Return what to wait for until the body of the first message is at hand, None if it is.

    Raises :class:`~amqpbroker.errors.HardError` 541 if it cannot be read.
    """
    pager, ready = queue.pager, queue.ready
    if pager is None or not pager.is_used:
        return None
    head = ready.peek()
    if head is None:
        return None
    arrived = anyio.Event()
    try:
        return None if pager.has(head, arrived.set) else arrived.wait()
    except LogError as error:
        pager.on_failure(error)
        raise internal_error("the message cannot be read") from None


def is_at_hand(pager: Pager | None, message: Message, then: Callable[[], None]) -> bool:
    """Return whether a body is at hand; if not, ``then`` is called when it is, if ever."""
    if pager is None or not pager.is_used:
        return True
    try:
        return pager.has(message, then)
    except LogError as error:
        pager.on_failure(error)
        return False


def bodies_now(pager: Pager | None, messages: Sequence[Message]) -> list[bytes] | None:
    """Return bodies at once, even if the disk must be waited for; None if they cannot be read."""
    if pager is None or not pager.is_used:
        return in_memory(messages)
    try:
        return pager.bodies(messages)
    except LogError as error:
        pager.on_failure(error)
        return None
