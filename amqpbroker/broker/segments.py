"""The segments of the log as the journal sees them: what is alive where, and what may go.

A segment without alive messages can be deleted. That must not bring anything back: segment S may go
only when every older segment that its settles speak of is gone too, or the messages there that were
settled would rise again. So S *references* those older segments.

One old message would thus keep all later segments. Therefore its segment is compacted: what is
alive there is written once more, at the end, and then nothing holds it. That is done with segments
that hold little (*thin* ones), and with the oldest one when more segments are dead but referenced
than alive: so the log never takes much more than twice the space of what is alive in it.

All counts say what is true of the log if the broker stops now: they change when a batch has been
committed and not before. A message that is settled together with a publish (a transaction, a dead
letter) would otherwise be deleted with its segment before the publish is safe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

THIN_RATIO: Final = 0.25
"""A segment with no more than this share of its messages alive is compacted."""
COMPACTED_COUNT_MAX: Final = 256
"""Segments that are looked at in one go."""
HELD_COUNT_MAX: Final = 4
"""So many segments may be dead and referenced, whatever the number of those alive."""


class Segment:
    """One segment."""

    __slots__ = ("alive", "alive_count", "enqueued_count", "first", "is_moving", "references")

    def __init__(self, first: int) -> None:
        self.first = first
        """The offset of its first batch, which names it."""
        self.alive: dict[int, int] = {}
        """Queue id → messages in it whose record lies here."""
        self.alive_count = 0
        """All of them."""
        self.enqueued_count = 0
        """Those that were ever written here."""
        self.is_moving = False
        """What is alive here has been staged once more."""
        self.references: set[Segment] = set()
        """Older segments that settles (or rewritten messages) in this one speak of."""

    def count(self, queue_id: int, difference: int) -> None:
        """Count messages that came alive here, or (negative) left their queue."""
        self.alive_count += difference
        left = self.alive.get(queue_id, 0) + difference
        if left:
            self.alive[queue_id] = left
        else:
            self.alive.pop(queue_id, None)


class Segments:
    """All segments, the oldest first; the last one is written to."""

    def __init__(self, segments: Iterable[Segment] = ()) -> None:
        self._segments = list(segments)

    def __iter__(self) -> Iterator[Segment]:
        return iter(self._segments)

    def active(self, first: int) -> Segment:
        """Return the segment that is written to, which starts at ``first``."""
        if not self._segments or self._segments[-1].first != first:
            self._segments.append(Segment(first))
        return self._segments[-1]

    def dead(self) -> list[Segment]:
        """Return those that may be deleted, if it is done in this order."""
        gone: dict[Segment, None] = {}
        for segment in self._segments[:-1]:
            if not segment.alive_count and segment.references <= gone.keys():
                gone[segment] = None
        return list(gone)

    def remove(self, gone: set[Segment]) -> None:
        """Forget segments that have been deleted."""
        self._segments = [segment for segment in self._segments if segment not in gone]
        for segment in self._segments:
            segment.references -= gone

    def to_compact(self) -> list[Segment]:
        """Return segments worth compacting, the most urgent first."""
        full = [s for s in self._segments[:-1] if not s.is_moving]
        alive = [segment for segment in full if segment.alive_count]
        chosen = [s for s in alive if s.alive_count <= s.enqueued_count * THIN_RATIO]
        if len(full) - len(alive) > len(alive) + HELD_COUNT_MAX:
            chosen += [segment for segment in alive if segment not in chosen]
        return chosen[:COMPACTED_COUNT_MAX]
