"""Dead letters: what becomes of messages that leave a queue without having been consumed.

They are published once more, to the queue's dead-letter exchange, with a header ``x-death`` that
tells where they died and why (FEATURES A10). The broker does it, not the publisher: permissions are
not asked for, nothing is returned, and what cannot be routed is dropped.

::

    x-death  [{original-expiration?, count, reason, queue, time, exchange, routing-keys}, ...]

The latest death is first. There is one entry per queue and reason; a repetition only adds to its
count. That is also how cycles are found: a message that would come to a queue where it has died
before, and that nobody has rejected since, goes round by itself and is dropped (A10.8).
"""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from amqpbroker.broker.at_least_once import HeldLetters, Letter
from amqpbroker.broker.bodies import bodies_now
from amqpbroker.broker.delivery_count import uncounted
from amqpbroker.broker.message import BlindPublication, Message, hide_keys
from amqpbroker.broker.router import Route, find_queues, find_queues_once, is_stable
from amqpbroker.wire.content import Publication, keys_in
from amqpbroker.wire.table import Field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from amqpbroker.broker.queue import Queue
    from amqpbroker.broker.quorum_queue import QuorumQueue
    from amqpbroker.broker.vhost import VHost

logger = logging.getLogger("amqpbroker.dead_letter")

DELIVERY_LIMIT: Final = "delivery_limit"
EXPIRED: Final = "expired"
MAXLEN: Final = "maxlen"
REJECTED: Final = "rejected"
COUNT_MAX: Final = (1 << 63) - 1
KNOWN_CYCLES_MAX: Final = 1000
"""Cycles per vhost that are logged; further ones are dropped silently."""
_INTEGERS: Final = frozenset("bBsuIil")
_NOTHING: Final = Field("V", None)


class _Transfer(NamedTuple):
    """Messages of one publication on their way out of a queue."""

    queue: Queue
    reason: str
    publication: Publication
    bodies: list[bytes]
    letter: Letter | None = None
    """If there is no more than one, and it must arrive."""


class DeadLetters:
    """The dead letters of a vhost.

    A dead letter may drive another message out of the queue that it comes to. What dies meanwhile
    waits in line, so that a chain of queues needs no stack.
    """

    def __init__(self, vhost: VHost, now_s: Callable[[], float] = time.time) -> None:
        self._vhost = vhost
        self._now_s = now_s
        self._waiting: deque[_Transfer] = deque()
        self._is_busy = False
        self._known_cycles: set[tuple[str, ...]] = set()
        self.held = HeldLetters(vhost.timers, self._send)
        """Those that must arrive and have not."""

    def publish(self, queue: Queue, reason: str, messages: Sequence[Message]) -> None:
        """Publish messages to the dead-letter exchange of ``queue``, if it has one.

        The caller settles them in the same go: then both are one batch of the log.
        """
        if queue.settings.dead_letter_exchange is None:
            return
        found = bodies_now(queue.pager, messages)
        if found is None:
            return
        last: Publication | None = None
        for message, body in zip(messages, found, strict=True):
            if message.publication is not last:
                last = message.publication
                bodies: list[bytes] = []
                self._waiting.append(_Transfer(queue, reason, last, bodies))
            bodies.append(body)
        self._work()

    def publish_safely(self, queue: QuorumQueue, reason: str, messages: Iterable[Message]) -> None:
        """Publish messages that ``queue`` keeps until they have arrived; see ``at_least_once``."""
        now_s = int(self._now_s())
        letters = [Letter(queue, reason, message, now_s) for message in messages]
        for letter in letters:
            self.held.hold(letter)
        self._send(letters)

    def _send(self, letters: Iterable[Letter]) -> None:
        for letter in letters:
            message = letter.message
            bodies = bodies_now(letter.queue.pager, (message,))
            if bodies is None:
                continue
            publication = uncounted(message).publication
            transfer = _Transfer(letter.queue, letter.reason, publication, bodies, letter)
            self._waiting.append(transfer)
        self._work()

    def _work(self) -> None:
        if self._is_busy:
            return
        self._is_busy = True
        try:
            while self._waiting:
                transfer = self._waiting.popleft()
                letter = transfer.letter
                if letter is None:
                    self._publish(transfer)
                elif letter.is_held:
                    self._publish(transfer)
                    if letter.is_held and not letter.queue.settings.is_safe:
                        self.held.arrived(letter)  # once is enough: the settings have changed
        finally:
            self._is_busy = False

    def _publish(self, transfer: _Transfer) -> None:
        settings = transfer.queue.settings
        name = settings.dead_letter_exchange
        exchange = None if name is None else self._vhost.exchanges.get(name)
        if exchange is None:
            return
        publication = dead(
            transfer.publication,
            transfer.reason,
            transfer.queue.name,
            exchange.name,
            routing_key=settings.dead_letter_routing_key,
            time_s=int(self._now_s()) if transfer.letter is None else transfer.letter.died_s,
        )
        if is_stable(self._vhost, exchange):
            queues = find_queues(self._vhost, exchange, publication)
            self._deliver(transfer, publication, queues, transfer.bodies)
            return
        for body in transfer.bodies:
            queues = find_queues_once(self._vhost, exchange, Message(publication, body))
            self._deliver(transfer, publication, queues, [body])

    def _deliver(
        self,
        transfer: _Transfer,
        publication: Publication,
        queues: tuple[Queue, ...],
        bodies: list[bytes],
    ) -> None:
        cycling: set[Queue] = set()
        if transfer.reason != REJECTED:
            deaths = deaths_of(publication.headers)
            cycling = {queue for queue in queues if is_cycle(queue.name, deaths)}
            if cycling:
                self._report(cycling, deaths)
                queues = tuple(queue for queue in queues if queue not in cycling)
        if transfer.letter is not None:
            self._deliver_safely(transfer, publication, queues, is_cycle=bool(cycling))
        elif queues:
            Route(publication, queues).publish(None, bodies)

    def _deliver_safely(
        self,
        transfer: _Transfer,
        publication: Publication,
        queues: tuple[Queue, ...],
        *,
        is_cycle: bool,
    ) -> None:
        """Bring a letter to the queues that have not got it; one that only goes round is gone."""
        letter = transfer.letter
        assert letter is not None
        for queue in queues:
            if queue.name not in letter.reached:
                _, refused = Route(publication, (queue,)).publish(None, transfer.bodies)
                if not refused:
                    letter.reached.add(queue.name)
        if (queues or is_cycle) and letter.reached.issuperset(queue.name for queue in queues):
            self.held.arrived(letter)

    def _report(self, cycling: set[Queue], deaths: Sequence[tuple[str, Any]]) -> None:
        """Log each cycle once."""
        fields = [entry.get("queue", _NOTHING) for kind, entry in deaths if kind == "F"]
        names = [value.decode("utf-8", "replace") for kind, value in fields if kind == "S"]
        for queue in cycling:
            cycle = (queue.name, *names)
            if cycle not in self._known_cycles and len(self._known_cycles) < KNOWN_CYCLES_MAX:
                self._known_cycles.add(cycle)
                logger.warning("dropped: dead letters go round by themselves: %s", cycle)


def dead(
    publication: Publication,
    reason: str,
    queue_name: str,
    exchange: str,
    *,
    routing_key: str | None,
    time_s: int,
) -> Publication:
    """Return what a message is published as after it has died in a queue.

    Without a ``routing_key`` of the queue's own it keeps its keys, those of CC and BCC too.
    """
    headers = dict(publication.headers)
    _record(headers, publication, reason, queue_name, time_s)
    hidden_keys: Sequence[str] = ()
    if routing_key is not None:
        headers.pop("CC", None)
    elif isinstance(publication, BlindPublication):
        hidden_keys = publication.hidden_keys
    key = publication.routing_key if routing_key is None else routing_key
    copy = publication.changed(headers=dict(sorted(headers.items())), expiration=None).moved(
        exchange, key
    )
    return hide_keys(copy, hidden_keys) if hidden_keys else copy


def _record(
    headers: dict[str, tuple[str, Any]],
    publication: Publication,
    reason: str,
    queue_name: str,
    time_s: int,
) -> None:
    """Write a death into the headers."""
    event = {
        "reason": Field("S", reason.encode()),
        "queue": Field("S", _bytes(queue_name)),
        "exchange": Field("S", _bytes(publication.exchange)),
    }
    if "x-death" not in headers:
        headers.update({f"x-first-death-{name}": field for name, field in event.items()})
    headers.update({f"x-last-death-{name}": field for name, field in event.items()})
    deaths = deaths_of(headers)
    same = [death for death in deaths if _is_same(death, event)]
    others = [death for death in deaths if not _is_same(death, event)]
    entry = _again(same[0]) if same else _first(publication, event, time_s)
    headers["x-death"] = Field("A", (entry, *others))


def _first(publication: Publication, event: Mapping[str, Field], time_s: int) -> Field:
    """Return the entry of the first death in a queue for a reason."""
    keys = [publication.routing_key, *keys_in(publication.headers, "CC")]
    entry = {
        "count": Field("l", 1),
        "reason": event["reason"],
        "queue": event["queue"],
        "time": Field("T", time_s),
        "exchange": event["exchange"],
        "routing-keys": Field("A", tuple(Field("S", _bytes(key)) for key in keys)),
    }
    expiration = publication.properties.get("expiration")
    if expiration is not None:
        entry = {"original-expiration": Field("S", _bytes(expiration)), **entry}
    return Field("F", entry)


def _again(death: tuple[str, Any]) -> Field:
    """Return the entry with one death more; all else stays as it was the first time."""
    kind, count = death[1].get("count", _NOTHING)
    is_count = kind in _INTEGERS and 0 <= count < COUNT_MAX
    return Field("F", {**death[1], "count": Field("l", count + 1 if is_count else 1)})


def deaths_of(headers: Mapping[str, tuple[str, Any]]) -> Sequence[tuple[str, Any]]:
    """Return the entries of x-death, the latest first; they may be a client's invention."""
    kind, deaths = headers.get("x-death", _NOTHING)
    return deaths if kind == "A" else ()


def _is_same(death: tuple[str, Any], event: Mapping[str, Field]) -> bool:
    kind, entry = death
    return kind == "F" and all(entry.get(name) == event[name] for name in ("queue", "reason"))


def is_cycle(queue_name: str, deaths: Iterable[tuple[str, Any]]) -> bool:
    """Return whether a message would come back to a queue with nobody having rejected it."""
    for kind, entry in deaths:
        if kind != "F" or entry.get("reason") == ("S", b"rejected"):
            return False
        if entry.get("queue") == ("S", _bytes(queue_name)):
            return True
    return False


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
