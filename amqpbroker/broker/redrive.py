"""Dead letters go back to where they died (FEATURES N7).

A redrive looks once at every message that waits in a queue when it begins, and moves those that its
filter lets through: to the queue that ``x-death`` names last, or to one that it is told. A message
is published there and settled here in one batch of the log, so a crash neither loses nor doubles
it. What dies again meanwhile is left to the next redrive.

It is a timer and no task: some messages at a time, no faster than its rate. A target that refuses
messages at its limit is waited for. Redrives end with the broker; what has moved stays moved.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from amqpbroker.broker.arguments import INTEGERS
from amqpbroker.broker.bodies import bodies_now
from amqpbroker.broker.dead_letter import deaths_of
from amqpbroker.broker.delivery_count import EXCEPTION_MESSAGE, original_of
from amqpbroker.broker.indexed_ready import IndexedReady
from amqpbroker.broker.router import Route
from amqpbroker.broker.runs import Run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from amqpbroker.broker.message import Message
    from amqpbroker.broker.queue import Queue
    from amqpbroker.broker.timers import Timer
    from amqpbroker.broker.vhost import VHost
    from amqpbroker.wire.content import Publication

RUNNING: Final = "running"
COMPLETED: Final = "completed"
CANCELLED: Final = "cancelled"
STEP_COUNT_MAX: Final = 256
"""Messages after which clients have their turn."""
STEP_INTERVAL_S: Final = 0.01
"""The least time that a rate is waited for: a fast one moves several messages then."""
RETRY_DELAY_S: Final = 0.1
"""How long a target that is full is waited for before it is asked again."""
FINISHED_COUNT_MAX: Final = 100
"""Redrives of a vhost that can be looked at after their end."""


def _text(entry: Mapping[str, tuple[str, Any]], name: str) -> str | None:
    kind, value = entry.get(name, ("V", None))
    return value.decode("utf-8", "surrogateescape") if kind == "S" else None


def last_death(publication: Publication) -> Mapping[str, tuple[str, Any]]:
    """Return the latest entry of x-death, an empty one if there is none."""
    for kind, entry in deaths_of(publication.headers):
        if kind == "F":
            return entry  # type: ignore[no-any-return]
    return {}


def revived(publication: Publication) -> Publication:
    """Return a dead letter as it was published before it died, with its x-death."""
    publication = original_of(publication)
    death = last_death(publication)
    kind, keys = death.get("routing-keys", ("V", None))
    first = keys[0] if kind == "A" and keys else ("V", None)
    key = _text({"key": first}, "key")
    exchange = _text(death, "exchange")
    headers = {k: v for k, v in publication.headers.items() if k != EXCEPTION_MESSAGE}
    changed = publication.changed(headers=headers) if headers else publication
    return changed.moved(
        publication.exchange if exchange is None else exchange,
        publication.routing_key if key is None else key,
    )


def _is_full(queue: Queue, message: Message) -> bool:
    """Return whether a queue would refuse a message now."""
    limits = queue.limits
    if limits is None or not limits.is_refusing:
        return False
    assert isinstance(queue.ready, IndexedReady)
    return not limits.has_room(queue.ready, message.publication.body_size)


def _is_same(found: tuple[str, Any] | None, wanted: tuple[str, Any]) -> bool:
    if found is None:
        return False
    if found[0] in INTEGERS and wanted[0] in INTEGERS:
        return bool(found[1] == wanted[1])
    return tuple(found) == tuple(wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which dead letters are meant; None means any."""

    reason: str | None = None
    """Why the message died the last time."""
    origin: str | None = None
    """The queue where it did."""
    headers: Mapping[str, tuple[str, Any]] = field(default_factory=dict)
    """Headers that it has, integers compared by value."""
    older_than_ms: int | None = None
    """How long it has been in the queue of dead letters, at least."""
    newer_than_ms: int | None = None
    """And at most."""

    def takes(self, message: Message, now_ms: int) -> bool:
        """Return whether a message is meant."""
        death = last_death(message.publication)
        if self.reason is not None and _text(death, "reason") != self.reason:
            return False
        if self.origin is not None and _text(death, "queue") != self.origin:
            return False
        found = message.publication.headers
        if not all(_is_same(found.get(name), wanted) for name, wanted in self.headers.items()):
            return False
        age_ms = now_ms - self._since_ms(message, death, now_ms)
        return (self.older_than_ms is None or age_ms >= self.older_than_ms) and (
            self.newer_than_ms is None or age_ms <= self.newer_than_ms
        )

    @staticmethod
    def _since_ms(message: Message, death: Mapping[str, tuple[str, Any]], now_ms: int) -> int:
        """Return when a message came; of one that is not kept, only x-death knows."""
        if isinstance(message.run, Run):
            return message.run.timestamp_ms
        kind, seconds = death.get("time", ("V", None))
        return int(seconds) * 1000 if kind == "T" else now_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a redrive is to do."""

    filter: Filter = field(default_factory=Filter)
    target: str | None = None
    """A queue for all messages; None: each goes where it died."""
    rate: float | None = None
    """Messages a second; None: as fast as it goes."""
    count_max: int | None = None
    """Messages after which it ends."""
    is_dry_run: bool = False
    """Only count."""


class Redrive:
    """One run over the messages of a queue."""

    def __init__(self, number: int, vhost: VHost, queue: Queue, plan: Plan) -> None:
        self.id = number
        self.queue = queue
        self.plan = plan
        self.state = RUNNING
        self.moved: dict[str, int] = {}
        """Target → messages moved there, or that would be."""
        self.stranded: dict[str, int] = {}
        """Target → messages left behind because there is no such queue."""
        self.examined_count = 0
        self.is_waiting = False
        """Whether a target is full."""
        self._vhost = vhost
        queue.ready = ready = IndexedReady.of(queue.ready, queue.settings.max_priority)
        self._ready = ready
        positions = [position for position, _ in ready.placed()]
        self.total_count = len(positions)
        self._positions: Iterator[int] = iter(positions)
        self._held: int | None = None
        """The position of a message whose target was full."""
        self._next_at = vhost.timers.now()
        self._timer: Timer | None = None
        self._wait(0.0)

    @property
    def moved_count(self) -> int:
        """Messages that were moved, or would be."""
        return sum(self.moved.values())

    def cancel(self) -> None:
        """Move no more."""
        if self.state == RUNNING:
            self._end(CANCELLED)

    def _end(self, state: str) -> None:
        self.state = state
        self.is_waiting = False
        self._positions = iter(())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self, seconds: float) -> None:
        timers = self._vhost.timers
        self._timer = timers.call_at(timers.now() + seconds, self._step)

    def _step(self) -> None:
        """Look at some messages; come again until there are none."""
        self._timer = None
        self.is_waiting = False
        for _ in range(STEP_COUNT_MAX):
            if self.queue.is_deleted:
                self._end(CANCELLED)
                return
            if self.plan.count_max is not None and self.moved_count >= self.plan.count_max:
                self._end(COMPLETED)
                return
            left_s = self._next_at - self._vhost.timers.now()
            if left_s > 0:
                self._wait(max(left_s, STEP_INTERVAL_S))
                return
            position = self._held if self._held is not None else next(self._positions, None)
            if position is None:
                self._end(COMPLETED)
                return
            self._examine(position)
            if self.is_waiting:
                self._wait(RETRY_DELAY_S)
                return
        self._wait(0.0)

    def _examine(self, position: int) -> None:
        """Look at a message, which may be gone by now."""
        message = self._ready.find(position)
        if self._held is None:
            self.examined_count += 1
        self._held = None
        plan, timers = self.plan, self._vhost.timers
        if message is None or not plan.filter.takes(message, timers.wall_ms()):
            return
        name = plan.target or _text(last_death(message.publication), "queue") or ""
        target = self._vhost.queues.get(name)
        if target is None or target is self.queue or target.owner is not None:
            self.stranded[name] = self.stranded.get(name, 0) + 1
            return
        if not plan.is_dry_run:
            if _is_full(target, message):
                self._held = position
                self.is_waiting = True
                return
            self._move(position, message, target)
            if plan.rate is not None:
                not_before = timers.now() - STEP_INTERVAL_S
                self._next_at = max(self._next_at, not_before) + 1 / plan.rate
        self.moved[name] = self.moved.get(name, 0) + 1

    def _move(self, position: int, message: Message, target: Queue) -> None:
        bodies = bodies_now(self.queue.pager, (message,))
        if bodies is None:
            return
        self._ready.remove(position)
        Route(revived(message.publication), (target,)).publish(None, bodies)
        self.queue.settle((message,))


class Redrives:
    """The redrives of a vhost, and some that have ended."""

    def __init__(self, vhost: VHost) -> None:
        self._vhost = vhost
        self._numbers = count(1)
        self._redrives: dict[int, Redrive] = {}

    def __iter__(self) -> Iterator[Redrive]:
        return iter(self._redrives.values())

    def find(self, number: int) -> Redrive | None:
        """Return a redrive, None if there is none or it ended long ago."""
        return self._redrives.get(number)

    def of_queue(self, queue: Queue) -> Redrive | None:
        """Return the redrive that moves messages from a queue."""
        for redrive in self:
            if redrive.queue is queue and redrive.state == RUNNING:
                return redrive
        return None

    def start(self, queue: Queue, plan: Plan) -> Redrive:
        """Begin to redrive a queue that is not being redriven."""
        assert self.of_queue(queue) is None
        finished = [item.id for item in self if item.state != RUNNING]
        for number in finished[: max(0, len(finished) - FINISHED_COUNT_MAX + 1)]:
            del self._redrives[number]
        redrive = Redrive(next(self._numbers), self._vhost, queue, plan)
        self._redrives[redrive.id] = redrive
        return redrive

    def discard(self) -> None:
        """Stop all: the vhost is deleted."""
        for redrive in self:
            redrive.cancel()
