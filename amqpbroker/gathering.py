"""Letting more come before the next read, from a client that sends without end.

A read, its handling and the writes that follow cost the same for one message as for a hundred. A
client that publishes at full speed keeps a fast broker busy with reads of a few messages each, and
pays itself for waking it each time. So it is read once in some milliseconds, much at a time, as
network cards gather packets before an interrupt. That is for those who wait for no answer: a
client that confirms, consumes or calls gets something written, and is read at once. So is one whose
reads do not grow while they are gathered: it may wait for somebody else.
"""

from __future__ import annotations

from typing import Final

PAUSE_S: Final = 0.003
"""Long enough that the client's system, which sends so many packets and then waits for them to be
acknowledged, puts many messages into one: a packet for each is what limits a client whose TCP is
governed by BBR."""
FULL_SHARE: Final = 0.9
"""Of what may be read: where so much was there is more,"""
FULL_COUNT_MAX: Final = 1000
"""and a pause is only worth it after so many messages."""
LOOK_COUNT: Final = 64
"""Reads that show how a client sends."""
INTERVAL_MAX_S: Final = 150e-6
"""Between reads, on average; with more, each has enough to do already."""
MESSAGES_MIN: Final = 4
"""In a read, on average: with fewer the broker has time left."""
MESSAGES_MAX: Final = 64
"""With so many there is little to gain."""
GROWTH_MIN: Final = 2
"""A gathered read has so many times the messages of others, or it is in vain."""
GATHERED_COUNT: Final = 8
"""Gathered reads that show whether it is worth it."""
GAP_MAX_S: Final = 0.02
"""Between gathered reads; after a longer one the client does not send without end."""
REST_MIN_S: Final = 0.25
REST_MAX_S: Final = 60.0
"""How long a client is read at once after gathering was in vain, doubled each time."""


class Gathering:
    """Looks at the reads of one connection that brought messages."""

    __slots__ = ("_count", "_messages", "_read_at", "_rest_s", "_rest_until", "_since", "_usual")

    def __init__(self) -> None:
        self._since = self._read_at = 0.0
        self._count = self._messages = 0
        """What was looked at since."""
        self._usual = 0.0
        """Messages in a read that is not gathered; 0 while none is."""
        self._rest_s = REST_MIN_S
        self._rest_until = 0.0

    def pause_s(self, messages: int, share: float, now: float, written_at: float) -> float:
        """Return how many seconds to wait after a read of ``messages``, which is mostly 0.

        ``share`` is how much of what may be read there was; ``written_at`` is when something was
        last sent to the client.
        """
        pause_s = self._pause_s(messages, now, written_at)
        if share >= FULL_SHARE and messages < FULL_COUNT_MAX:
            return 0.0
        return pause_s

    def _pause_s(self, messages: int, now: float, written_at: float) -> float:
        if written_at >= self._since:
            self._look_anew(now, 0.0)
            return 0.0
        self._count += 1
        self._messages += messages
        if self._usual:
            return self._go_on(now)
        if self._count < LOOK_COUNT:
            return 0.0
        usual = self._messages / LOOK_COUNT
        is_fast = now - self._since <= LOOK_COUNT * INTERVAL_MAX_S
        is_wanted = is_fast and MESSAGES_MIN <= usual <= MESSAGES_MAX and now >= self._rest_until
        self._look_anew(now, usual if is_wanted else 0.0)
        return PAUSE_S if is_wanted else 0.0

    def _go_on(self, now: float) -> float:
        gap_s, self._read_at = now - self._read_at, now
        if gap_s > GAP_MAX_S:
            self._look_anew(now, 0.0)
            return 0.0
        if self._count == GATHERED_COUNT:
            if self._messages < GATHERED_COUNT * GROWTH_MIN * self._usual:
                self._rest_until = now + self._rest_s
                self._rest_s = min(2 * self._rest_s, REST_MAX_S)
                self._look_anew(now, 0.0)
                return 0.0
            self._rest_s = REST_MIN_S
            self._look_anew(now, self._usual)
        return PAUSE_S

    def _look_anew(self, now: float, usual: float) -> None:
        self._since = self._read_at = now
        self._count = self._messages = 0
        self._usual = usual
