"""Messages that live for a limited time, in one queue (FEATURES A9.1, A9.2, N12).

The time counts from when the message came to the queue, whatever became of it meanwhile: one that
is requeued keeps its deadline (A6.19). It leaves the queue on time, wherever it is in there, and
never reaches a consumer later. While it is on loan it does not expire.

Messages of one publish have one deadline; the heap holds a row of positions for each. Rows are not
looked for when messages leave: those without messages are thrown out when there are too many. Only
the earliest deadline of a queue has a timer, and a queue without messages has none.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Final

from amqpbroker.broker.message import Message
from amqpbroker.broker.runs import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from amqpbroker.broker.indexed_ready import IndexedReady
    from amqpbroker.broker.timers import Timer, Timers
    from amqpbroker.wire.content import Publication

EXPIRED_COUNT_MAX: Final = 4096
"""Messages after which a timer lets clients have their turn."""
STALE_COUNT_MIN: Final = 64
"""Rows that are left in the heap however few messages there are."""


class ExpiringMessage(Message):
    """A message with a deadline. Queues share messages, but not deadlines: each has its own."""

    __slots__ = ("deadline",)

    def __init__(self, message: Message, deadline: float) -> None:
        super().__init__(message.publication, message.body, message.run, message.sequence)
        self.deadline = deadline
        """Seconds of the timers' clock."""

    def republished(self, publication: Publication) -> Message:
        """Return a copy with another publication and the same deadline."""
        return ExpiringMessage(super().republished(publication), self.deadline)


def time_to_live_ms(publication: Publication, ttl_ms: int | None) -> int | None:
    """Return the smaller of a queue's and a message's time to live, None if there is none."""
    expiration = publication.properties.get("expiration")
    if expiration is None:
        return ttl_ms
    return int(expiration) if ttl_ms is None else min(int(expiration), ttl_ms)


class Expiry:
    """What expires when in one queue; ``drop`` is told what has."""

    __slots__ = ("_drop", "_ready", "_rows", "_timer", "_timers", "ttl_ms")

    def __init__(
        self, ready: IndexedReady, timers: Timers, drop: Callable[[list[Message]], None]
    ) -> None:
        self._ready = ready
        self._timers = timers
        self._drop = drop
        self._rows: list[tuple[float, int, int]] = []
        """A heap of (deadline, first position, position after the last)."""
        self._timer: Timer | None = None
        self.ttl_ms: int | None = None
        """The queue's own, for messages to come."""

    def marked(self, publication: Publication, messages: list[Message]) -> list[Message]:
        """Return messages of one publication with their deadline if they have one."""
        ttl_ms = time_to_live_ms(publication, self.ttl_ms)
        if ttl_ms is None:
            return messages
        deadline = self._timers.now() + ttl_ms / 1000
        marked: list[Message] = [ExpiringMessage(message, deadline) for message in messages]
        run = messages[0].run
        if isinstance(run, Run):
            run.twins = [*(run.twins or ()), marked]
        return marked

    def recovered(self, messages: Iterable[Message]) -> list[Message]:
        """Return messages from before a restart with their deadlines, which may be past."""
        now, clock_ms = self._timers.now(), self._timers.wall_ms()
        marked = []
        for message in messages:
            ttl_ms = time_to_live_ms(message.publication, self.ttl_ms)
            if ttl_ms is not None and isinstance(message.run, Run):
                age_ms = max(0, clock_ms - message.run.timestamp_ms)
                message = ExpiringMessage(message, now + (ttl_ms - age_ms) / 1000)
            marked.append(message)
        return marked

    def watch(self, first: int, messages: Sequence[Message]) -> None:
        """Look after messages of one deadline that are ready, at consecutive positions."""
        message = messages[0]
        if not isinstance(message, ExpiringMessage):
            return
        heappush(self._rows, (message.deadline, first, first + len(messages)))
        if len(self._rows) > 2 * len(self._ready) + STALE_COUNT_MIN:
            self._throw_out()
        self._set_timer()

    def watch_all(self) -> None:
        """Look after everything that is ready, however it came there."""
        self._throw_out()
        self._set_timer()

    def _throw_out(self) -> None:
        """Make the heap anew of the messages that are there."""
        rows: list[tuple[float, int, int]] = []
        for position, message in self._ready.placed():
            if not isinstance(message, ExpiringMessage):
                continue
            if rows and rows[-1][0] == message.deadline and rows[-1][2] == position:
                rows[-1] = (message.deadline, rows[-1][1], position + 1)
            else:
                rows.append((message.deadline, position, position + 1))
        heapify(rows)
        self._rows = rows

    def drop_due(self, count_max: int | None = None) -> None:
        """Take out what has expired; with ``count_max`` stop some time after so many."""
        rows = self._rows
        if not rows or rows[0][0] > self._timers.now():
            return
        now = self._timers.now()
        remove = self._ready.remove
        expired: list[Message] = []
        while rows and rows[0][0] <= now and (count_max is None or len(expired) < count_max):
            _, first, end = heappop(rows)
            removed = [remove(position) for position in range(first, end)]
            expired += [message for message in removed if message is not None]
        if expired:
            self._drop(expired)

    def _set_timer(self) -> None:
        if not self._rows:
            return
        deadline = self._rows[0][0]
        timer = self._timer
        if timer is not None:
            if timer.deadline <= deadline:
                return
            timer.cancel()
        self._timer = self._timers.call_at(deadline, self._fire)

    def _fire(self) -> None:
        self._timer = None
        if self._ready:
            self.drop_due(EXPIRED_COUNT_MAX)
        if not self._ready:
            self._rows.clear()
        self._set_timer()

    def stop(self) -> None:
        """Forget everything: the queue is gone."""
        self._rows.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
