"""Messages that are to come later, of one vhost (FEATURES A12.10, N2).

A publish with a header ``x-delay`` (milliseconds) or ``x-deliver-at`` (a time) waits here, and is
routed when it is due: whatever the exchange, so that the default exchange delays for any queue. To
the log this is one more durable queue, with an id but without a name (docs/adr/0005): a message is
enqueued when it comes, and when it is due it is published and settled in one batch.

Millions may wait, so a message takes little: properties stay encoded, and one integer, the time
with the message's number below it, is its key, its place in the heap and what it is called by the
outside. Cancelled ones are left in the heap until they are too many.
"""

from __future__ import annotations

import logging
from heapq import heapify, heappop, heappush, nsmallest
from itertools import count, groupby
from operator import attrgetter
from sys import intern
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from amqpbroker.broker.arguments import EXPIRY_MS_MAX, number_of
from amqpbroker.broker.bodies import bodies_now, is_at_hand
from amqpbroker.broker.message import Message, stored_properties, without_bcc
from amqpbroker.broker.names import DELAY, DELIVER_AT, described
from amqpbroker.broker.router import Route, find_queues, find_queues_once, is_stable
from amqpbroker.broker.runs import Run
from amqpbroker.errors import internal_error
from amqpbroker.wire.content import Publication
from amqpbroker.wire.table import Field

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from amqpbroker.broker.channel import Channel
    from amqpbroker.broker.journal import Journal
    from amqpbroker.broker.paging import Pager
    from amqpbroker.broker.timers import Timer
    from amqpbroker.broker.vhost import VHost
    from amqpbroker.storage.catalog import Ticket
    from amqpbroker.wire.table import Table

logger = logging.getLogger("amqpbroker.delayed")

NAME: Final = ""
"""In the catalog; no queue has it."""
RELEASED_COUNT_MAX: Final = 512
"""Messages after which a timer lets clients have their turn: some 25 ms if all are different."""
CLOCK_CHECK_S: Final = 60.0
"""How often the wall clock is looked at while messages wait: it may have been set."""
STALE_COUNT_MIN: Final = 64
"""Cancelled messages that are left in the heap however few others there are."""
_NUMBER_BITS: Final = 48
_NUMBER_MASK: Final = (1 << _NUMBER_BITS) - 1


def due_ms(headers: Mapping[str, tuple[str, Any]], since_ms: int) -> int | None:
    """Return when a message that came at ``since_ms`` is due (Unix time), None if at once.

    ``x-deliver-at`` is a timestamp (seconds) or a number of milliseconds, and counts more than
    ``x-delay``. What cannot be read, is past, or more than ten years ahead delays nothing.
    """
    deliver_at = headers.get(DELIVER_AT)
    if deliver_at is not None and deliver_at[0] == "T":
        at_ms: int | None = deliver_at[1] * 1000
    else:
        at_ms = number_of(deliver_at)
    delay_ms = number_of(headers.get(DELAY)) if at_ms is None else at_ms - since_ms
    if delay_ms is None or not 0 < delay_ms <= EXPIRY_MS_MAX:
        return None
    return since_ms + delay_ms


def waiting(publication: Publication) -> Publication:
    """Return a publication as it waits: BCC among its properties, names shared with others."""
    return Publication(
        intern(publication.exchange),
        intern(publication.routing_key),
        raw_properties=stored_properties(publication),
        body_size=publication.body_size,
    )


def woken(publication: Publication) -> Publication:
    """Return what a waiting publication becomes when it is due.

    A negative ``x-delay`` tells consumers how long it was, and delays no more.
    """
    headers = dict(publication.headers)
    delay_ms = number_of(headers.get(DELAY))
    if delay_ms is not None and delay_ms > 0:
        headers[DELAY] = Field("I" if delay_ms < 1 << 31 else "l", -delay_ms)
        publication = publication.changed(headers=headers)
    return without_bcc(publication)


class Pending(NamedTuple):
    """A message that waits."""

    id: int
    """Names it until it is rescheduled, after a restart too."""
    due_ms: int
    """Unix time."""
    publication: Publication


class Delayed:
    """The delayed messages of a vhost."""

    keeps_bodies: ClassVar[bool] = False

    def __init__(self, vhost: VHost) -> None:
        self._vhost = vhost
        self.id = 0
        """Names this in the log; 0 before the first message."""
        self.name = NAME
        self.definition: Ticket | None = None
        self.journal: Journal | None = None
        self.is_auto_delete = False
        self.arguments: Table = {}
        self._messages: dict[int, Message] = {}
        self._heap: list[int] = []
        self._numbers = count(1)
        """For messages that the log does not number."""
        self._timer: Timer | None = None

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def ready(self) -> Iterable[Message]:
        """All messages, in no promised order."""
        return self._messages.values()

    @property
    def _pager(self) -> Pager | None:
        return None if self.journal is None else self.journal.pager

    # in

    def delays(self, headers: Mapping[str, tuple[str, Any]]) -> bool:
        """Return whether a message with these headers must wait."""
        return due_ms(headers, self._vhost.timers.wall_ms()) is not None

    def add(self, publication: Publication, bodies: Sequence[bytes]) -> int:
        """Take messages in (their publication as ``waiting`` makes it).

        Returns the number of the commit that makes them safe, 0 if nothing is kept.
        """
        ticket = 0
        journal = self.journal
        if journal is None:
            now_ms = self._vhost.timers.wall_ms()
            messages = [Message(publication, body, None, next(self._numbers)) for body in bodies]
        else:
            if not self.id:
                assert self._vhost.store is not None
                self._vhost.store.put_queue(self._vhost.name, self)
            messages = journal.enqueue(publication, bodies, (self,))
            ticket = journal.ticket
            assert isinstance(messages[0].run, Run)
            now_ms = messages[0].run.timestamp_ms
        self._place(messages, now_ms)
        self._set_timer()
        return ticket

    def recover(self, messages: Sequence[Message]) -> None:
        """Fill with what was here before a restart."""
        for publication, row in groupby(messages, attrgetter("publication")):
            compact = waiting(publication)
            for message in row:
                assert isinstance(message.run, Run)
                message.publication = compact
                self._place((message,), message.run.timestamp_ms)
        self._set_timer()

    def _place(self, messages: Sequence[Message], since_ms: int) -> None:
        """Let messages of one publication wait."""
        publication = messages[0].publication
        due = due_ms(publication.headers, since_ms) or since_ms
        publication.forget_properties()
        for message in messages:
            key = due << _NUMBER_BITS | message.sequence
            self._messages[key] = message
            heappush(self._heap, key)

    # out

    def _set_timer(self) -> None:
        if not self._heap:
            return
        timers = self._vhost.timers
        left_s = ((self._heap[0] >> _NUMBER_BITS) - timers.wall_ms()) / 1000
        deadline = timers.now() + min(max(left_s, 0.0), CLOCK_CHECK_S)
        if self._timer is not None:
            if self._timer.deadline <= deadline:
                return
            self._timer.cancel()
        self._timer = timers.call_at(deadline, self._fire)

    def _fire(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        heap = self._heap
        end = (self._vhost.timers.wall_ms() + 1) << _NUMBER_BITS
        due: list[Message] = []
        is_waiting = False
        while heap and heap[0] < end and len(due) < RELEASED_COUNT_MAX:
            message = self._messages.get(heap[0])
            is_waiting = message is not None and not is_at_hand(self._pager, message, self._fire)
            if is_waiting:
                break
            self._messages.pop(heappop(heap), None)
            if message is not None:
                due.append(message)
        if not is_waiting:
            self._set_timer()  # first: whatever happens to these, the others come
        for publication, row in groupby(due, attrgetter("publication")):
            bodies = bodies_now(self._pager, list(row))
            if bodies is None:
                return
            self._publish(woken(publication), bodies)
        self._settle(due)

    def _publish(self, publication: Publication, bodies: list[bytes]) -> None:
        """Route messages that are due; as with dead letters, nobody gets them back."""
        vhost = self._vhost
        exchange = vhost.exchanges.get(publication.exchange)
        if exchange is None:
            where = described("exchange", publication.exchange, vhost.name)
            logger.warning("%d delayed messages dropped: no %s", len(bodies), where)
        elif is_stable(vhost, exchange):
            queues = find_queues(vhost, exchange, publication)
            vhost.windows.route(publication, queues).publish(None, bodies)
        else:
            for body in bodies:
                queues = find_queues_once(vhost, exchange, Message(publication, body))
                vhost.windows.route(publication, queues).publish(None, [body])

    def _settle(self, messages: Sequence[Message]) -> None:
        if self.journal is not None:
            self.journal.settle(self, messages)

    # from outside

    def pending(self, count_max: int = 100) -> list[Pending]:
        """Return the messages that are due next, the first of them first."""
        found = map(self.find, nsmallest(count_max, self._messages))
        return [item for item in found if item is not None]

    def ids(self) -> list[int]:
        """Return what all messages are called; in ascending order they are in that of times."""
        return list(self._messages)

    def find(self, message_id: int) -> Pending | None:
        """Return a message, None if it does not wait (any more)."""
        message = self._messages.get(message_id)
        if message is None:
            return None
        due = message_id >> _NUMBER_BITS
        return Pending(message_id, due, message.publication)

    def body(self, message_id: int) -> bytes | None:
        """Return the body of a message, None if it does not wait (any more).

        Raises :class:`~amqpbroker.errors.HardError` 541 if it cannot be read.
        """
        message = self._messages.get(message_id)
        return None if message is None else self._body(message)

    def _body(self, message: Message) -> bytes:
        bodies = bodies_now(self._pager, (message,))
        if bodies is None:
            raise internal_error("the message cannot be read")
        return bodies[0]

    def cancel(self, message_id: int) -> bool:
        """Let a message never come; return False if it does not wait (any more)."""
        message = self._take(message_id)
        if message is None:
            return False
        self._settle((message,))
        return True

    def reschedule(self, message_id: int, at_ms: int) -> int | None:
        """Let a message come at another time (Unix time in ms); return its new id.

        None if it does not wait (any more). A crash leaves the one or the other.
        """
        body = self.body(message_id)
        message = self._take(message_id)
        if message is None or body is None:
            return None
        publication = message.publication
        headers = {**publication.headers, DELIVER_AT: Field("l", at_ms)}
        self.add(waiting(publication.changed(headers=headers)), (body,))
        self._settle((message,))
        return next(reversed(self._messages))

    def _take(self, key: int) -> Message | None:
        message = self._messages.pop(key, None)
        if len(self._heap) > 2 * len(self._messages) + STALE_COUNT_MIN:
            self._heap = list(self._messages)
            heapify(self._heap)
        return message

    def discard(self) -> None:
        """Forget everything: the vhost is deleted."""
        if self.id and self._vhost.store is not None:
            self._vhost.store.delete_queue(self)
        if self.journal is not None:
            self.journal.abandon(self, self._messages.values())
        self._messages.clear()
        self._heap.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class DelayedRoute(Route):
    """Leads messages to where they wait."""

    __slots__ = ("_delayed", "_waiting")

    def __init__(self, publication: Publication, delayed: Delayed) -> None:
        super().__init__(publication, ())
        self._delayed = delayed
        self._waiting = waiting(publication)

    @property
    def leads_somewhere(self) -> bool:
        """Messages are taken in, wherever they will go."""
        return True

    def publish(self, channel: Channel | None, bodies: list[bytes]) -> tuple[int, int]:
        """Let messages wait; those that are mandatory have no queue now and are returned too."""
        assert channel is not None
        if self.publication.mandatory:
            channel.session.return_unroutable(channel, self.publication, bodies)
        self._delayed.journal = channel.session.broker.journal
        return self._delayed.add(self._waiting, bodies), 0
