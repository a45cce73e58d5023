"""x-ack-deadline: a delivery that is not settled in time goes back to its queue (FEATURES N4).

Only that message comes back; channel and consumer stay. What is settled too late is ignored, where
RabbitMQ would close the channel with 406 for an unknown tag: a worker that was slow once has done
nothing wrong, and would lose all else that it holds. All that is kept for this is the highest tag
that came back.

``x-consumer-timeout`` is RabbitMQ's own, of one queue or consumer (A9.17): its end closes the
channel (A6.16). A delivery with an ack deadline has no consumer timeout.

One object per channel that has such deliveries. Deliveries made in one go share a row of the heap;
rows are not looked for when something is settled: they are thrown out when there are too many. Only
the earliest row has a timer, so an extension or a settle costs no timer.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Final, NamedTuple

from amqpbroker.broker.consumer_timeout import timed_out

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from amqpbroker.broker.channel import Channel
    from amqpbroker.broker.consumer import Consumer
    from amqpbroker.broker.message import Delivery
    from amqpbroker.broker.queue import Queue
    from amqpbroker.broker.timers import Timer

STALE_COUNT_MIN: Final = 64
"""Settled deliveries that are still known however few there are."""


class Term(NamedTuple):
    """For how long something is on loan, and whether its end costs the channel."""

    duration_ms: int
    is_fatal: bool


def term_of(queue: Queue, consumer: Consumer | None) -> Term | None:
    """Return the term of deliveries of a queue, None if they have none.

    The arguments of a consumer count more than what is set for the queue.
    """
    settings = queue.settings
    for name, of_queue, is_fatal in (
        ("x-ack-deadline", settings.ack_deadline_ms, False),
        ("x-consumer-timeout", settings.consumer_timeout_ms, True),
    ):
        field = None if consumer is None else consumer.arguments.get(name)
        duration_ms = of_queue if field is None else int(field.value)
        if duration_ms is not None:
            return Term(duration_ms, is_fatal)
    return None


class _Row(NamedTuple):
    """Consecutive tags; those among them whose deadline is still this one are due then."""

    deadline: float
    first: int
    end: int
    timeout_ms: int
    """Of the consumer timeout that is over then; 0 if the messages are to come back."""


class AckDeadlines:
    """The deadlines of one channel, in seconds of the timers' clock."""

    __slots__ = ("_channel", "_deadlines", "_rows", "_timer", "_timers", "returned_until")

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._timers = channel.vhost.timers
        self._deadlines: dict[int, float] = {}
        """By tag; of some that were settled, too."""
        self._rows: list[_Row] = []
        """A heap."""
        self._timer: Timer | None = None
        self.returned_until = 0
        """The highest tag that came back; unknown ones up to it may be settled in vain."""

    def __contains__(self, tag: int) -> bool:
        """Return whether a delivery that is not settled has a deadline of its own."""
        return tag in self._deadlines

    def watch(self, loans: Sequence[Delivery]) -> None:
        """Look after deliveries of one queue to one consumer, with consecutive tags."""
        term = term_of(loans[0].queue, loans[0].consumer)
        if term is None:
            return
        deadline = self._timers.now() + term.duration_ms / 1000
        first, end = loans[0].tag, loans[-1].tag + 1
        self._deadlines.update(dict.fromkeys(range(first, end), deadline))
        self._push(_Row(deadline, first, end, term.duration_ms if term.is_fatal else 0))

    def watch_again(self, deliveries: Iterable[Delivery]) -> None:
        """Look after deliveries whose settling was rolled back, which may be late already."""
        for delivery in deliveries:
            tag, term = delivery.tag, term_of(delivery.queue, delivery.consumer)
            if term is not None:
                timeout_ms = term.duration_ms if term.is_fatal else 0
                deadline = self._deadlines.setdefault(tag, self._timers.now())
                self._push(_Row(deadline, tag, tag + 1, timeout_ms))

    def remaining_ms(self, tag: int) -> int | None:
        """Return the time until a delivery comes back, None if it does not."""
        deadline = self._deadlines.get(tag)
        if deadline is None or tag not in self._channel.unsettled:
            return None
        return max(0, round((deadline - self._timers.now()) * 1000))

    def extend(self, tag: int, duration_ms: int | None) -> bool:
        """Give a delivery ``duration_ms`` from now on, by default as long as it had at first.

        Tag 0 means all of the channel. Returns whether there was any: not if it was settled, is
        back in its queue already, or never had an ack deadline.
        """
        unsettled = self._channel.unsettled
        tags = [item for item in unsettled if item in self] if tag == 0 else [tag]
        is_any = False
        for item in tags:
            delivery = unsettled.get(item)
            term = None if delivery is None else term_of(delivery.queue, delivery.consumer)
            if term is None or term.is_fatal or item not in self:
                continue
            is_any = True
            given_ms = term.duration_ms if duration_ms is None else duration_ms
            deadline = self._timers.now() + given_ms / 1000
            if self._deadlines[item] != deadline:
                self._deadlines[item] = deadline
                self._push(_Row(deadline, item, item + 1, 0))
        return is_any

    def _push(self, row: _Row) -> None:
        heappush(self._rows, row)
        unsettled_count = len(self._channel.unsettled)
        if max(len(self._deadlines), len(self._rows)) > 2 * unsettled_count + STALE_COUNT_MIN:
            self._throw_out()
        self._set_timer()

    def _throw_out(self) -> None:
        """Forget what is settled."""
        channel, deadlines = self._channel, self._deadlines
        rows: list[_Row] = []
        for row in self._rows:
            tags = [tag for tag in range(row.first, row.end) if self._is_out(tag, row.deadline)]
            rows += [_Row(row.deadline, tag, tag + 1, row.timeout_ms) for tag in tags]
        known = [delivery.tag for delivery in channel.deliveries()]
        self._deadlines = {tag: deadlines[tag] for tag in known if tag in deadlines}
        heapify(rows)
        self._rows = rows

    def _is_out(self, tag: int, deadline: float) -> bool:
        return tag in self._channel.unsettled and self._deadlines.get(tag) == deadline

    def _set_timer(self) -> None:
        if not self._rows:
            return
        deadline = self._rows[0].deadline
        if self._timer is not None:
            if self._timer.deadline <= deadline:
                return
            self._timer.cancel()
        self._timer = self._timers.call_at(deadline, self._fire)

    def _fire(self) -> None:
        self._timer = None
        channel, rows, now = self._channel, self._rows, self._timers.now()
        late: list[int] = []
        while rows and rows[0].deadline <= now:
            row = heappop(rows)
            tags = [tag for tag in range(row.first, row.end) if self._is_out(tag, row.deadline)]
            if row.timeout_ms and tags:
                channel.session.fail_channel(
                    channel.number, timed_out(channel.number, row.timeout_ms)
                )
                return
            late += tags
        if not channel.unsettled and channel.transaction is None:
            rows.clear()
            self._deadlines.clear()
        if late:
            self._return(late)
        self._set_timer()

    def _return(self, tags: Iterable[int]) -> None:
        channel = self._channel
        ordered = sorted(set(tags))
        self.returned_until = max(self.returned_until, ordered[-1])
        for tag in ordered:
            del self._deadlines[tag]
        late = [channel.unsettled.pop(tag) for tag in ordered]
        for consumer in {item.consumer: None for item in late if item.consumer is not None}:
            consumer.queue.consumers.defer(consumer)  # whoever is not late may have a try
        channel.requeue(late)

    def stop(self) -> None:
        """Forget everything: the channel is gone."""
        self._rows.clear()
        self._deadlines.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
