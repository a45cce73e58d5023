"""How fast a vhost or a user may publish: so many messages and bytes a second.

Whoever is over a limit is not read from for a while; it never gets an error. What was read is
handled, so a limit holds on average: a client may be ahead by the burst and by one read. All
connections of the vhost or the user share what is owed. RabbitMQ has nothing like it.

Time is an argument (seconds of a clock that only grows).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from amqpbroker.broker.quotas import MAX_PUBLISH_BYTES_RATE, MAX_PUBLISH_RATE, limits_of_user

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from amqpbroker.broker.session import Session

BURST_S: Final = 0.5
"""After a pause so much of a rate may come at once."""
WAIT_S_MAX: Final = 1.0
"""Longest wait before the limits are looked at again: so soon a change of them is felt."""
WAIT_S_MIN: Final = 0.001
"""What is not worth a wait."""
READ_SIZE_MIN: Final = 1 << 12
"""Bytes read at once from a client, however low its limit is."""
READ_SIZE_MAX: Final = 1 << 18
READS_PER_S: Final = 50
"""Of a client that keeps to its limit; reads are made small enough for that."""
MESSAGE_SIZE_MIN: Final = 64
"""Bytes of a small message with its frames: what a rate of messages comes to at least."""

Key = tuple[str, str, str]
"""Whether it is a vhost's or a user's limit, the name, and the name of the limit."""


class Bucket:
    """What is owed at one limit."""

    __slots__ = ("_debt", "_paid_at")

    def __init__(self, now: float) -> None:
        self._debt = 0.0
        self._paid_at = now

    def take(self, count: int, rate: int, now: float) -> float:
        """Add ``count`` to what is owed, and pay what time has earned; return seconds to wait.

        Infinite for a rate of 0.
        """
        self._debt = max(0.0, self._debt - rate * (now - self._paid_at)) + count
        self._paid_at = now
        excess = self._debt - rate * BURST_S
        if excess <= 0:
            return 0.0
        return excess / rate if rate else math.inf


class Rates:
    """The buckets of a broker, one for each limit that a publish has touched."""

    def __init__(self) -> None:
        self._buckets: dict[Key, Bucket] = {}

    def delay_s(self, session: Session, message_count: int, size: int, now: float) -> float | None:
        """Charge a session for what it has published; return how long not to read from it.

        None if it has no limits.
        """
        delay_s = None
        for key, rate in _rates_of(session):
            bucket = self._buckets.get(key)
            if bucket is None:
                bucket = self._buckets[key] = Bucket(now)
            count = size if key[2] == MAX_PUBLISH_BYTES_RATE else message_count
            delay_s = max(delay_s or 0.0, bucket.take(count, rate, now))
        if delay_s is None:
            return None
        return 0.0 if delay_s < WAIT_S_MIN else min(delay_s, WAIT_S_MAX)

    def forget(self, kind: str, name: str) -> None:
        """Forget what a vhost or a user owes that is deleted."""
        for limit in (MAX_PUBLISH_RATE, MAX_PUBLISH_BYTES_RATE):
            self._buckets.pop((kind, name, limit), None)


def has_rates(session: Session) -> bool:
    """Return whether there may be limits for a session; ``Rates.delay_s`` knows."""
    vhost, principal = session.vhost, session.principal
    if vhost is None or principal is None:
        return False
    return bool(vhost.limits or limits_of_user(session.broker.users, principal.username))


def read_size(session: Session) -> int:
    """Return how many bytes to read at once from a session that has limits.

    The lower they are, the less: what is read is handled at once, and then paid for by waiting.
    """
    size = READ_SIZE_MAX
    for key, rate in _rates_of(session):
        bytes_per_s = rate if key[2] == MAX_PUBLISH_BYTES_RATE else rate * MESSAGE_SIZE_MIN
        size = min(size, max(READ_SIZE_MIN, bytes_per_s // READS_PER_S))
    return size


def _rates_of(session: Session) -> Iterator[tuple[Key, int]]:
    """Yield the limits that hold for a session; most have none."""
    vhost, principal = session.vhost, session.principal
    if vhost is None or principal is None:
        return
    if vhost.limits:
        yield from _rates_in(vhost.limits, "vhost", vhost.name)
    limits = limits_of_user(session.broker.users, principal.username)
    if limits:
        yield from _rates_in(limits, "user", principal.username)


def _rates_in(limits: Mapping[str, int], kind: str, name: str) -> Iterator[tuple[Key, int]]:
    for limit in (MAX_PUBLISH_RATE, MAX_PUBLISH_BYTES_RATE):
        rate = limits.get(limit, -1)
        if rate >= 0:
            yield (kind, name, limit), rate
