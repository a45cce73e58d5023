"""How far consumers of a stream have got, kept by the broker for those who ask (FEATURES A11.8).

Opt-in, with LavinMQ's argument ``x-stream-automatic-offset-tracking``, by consumer tag. What is
kept is the offset below which a consumer has acknowledged everything; it begins there when it comes
again under its tag, whatever ``x-stream-offset`` says. Offsets reach the disk a moment later, so
after a crash some messages come twice and none is left out.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from amqpbroker.broker.message import Message
from amqpbroker.broker.runs import Run
from amqpbroker.errors import precondition_failed
from amqpbroker.wire.content import Publication

if TYPE_CHECKING:
    from collections.abc import Callable

    from amqpbroker.wire.table import Table

TRACKING: Final = "x-stream-automatic-offset-tracking"
TAG_COUNT_MAX: Final = 10_000
"""Consumer tags remembered per stream; the one that has been still for longest is forgotten."""
GENERATED_PREFIX: Final = "amq.ctag-"
_NOTHING: Final = Publication.of("", "", {}, 0)
_KEPT: Final = Run(0, (), 0)
"""Of messages whose settling somebody wants to know of."""


def wants_tracking(table: Table, tag: str, where: str) -> bool:
    """Return whether a consumer is to be tracked.

    Raises :class:`~amqpbroker.errors.SoftError` 406 without a tag of its own to be known by.
    """
    field = table.get(TRACKING)
    if field is None or field != ("t", True):
        return False
    if tag.startswith(GENERATED_PREFIX):
        raise precondition_failed(f"invalid arg '{TRACKING}' for {where}: no consumer tag is given")
    return True


class Tracked:
    """The offsets of one stream."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self.offsets: dict[str, int] = {}
        """Consumer tag → what comes next for it; the latest to change is last."""
        self._on_change = on_change

    def note(self, tag: str, offset: int) -> None:
        """Take note of where a consumer goes on."""
        self.offsets.pop(tag, None)
        self.offsets[tag] = offset
        if len(self.offsets) > TAG_COUNT_MAX:
            del self.offsets[next(iter(self.offsets))]
        self._on_change()

    def to_bytes(self) -> bytes:
        """Return the offsets as they are stored."""
        return json.dumps(self.offsets).encode()

    def load(self, data: bytes) -> None:
        """Take what `to_bytes` has returned. Raises ValueError for anything else."""
        self.offsets = {str(tag): int(offset) for tag, offset in json.loads(data).items()}


class Track:
    """Where one consumer is: what it has on loan, in order."""

    __slots__ = ("_lent", "_next", "_tag", "_tracked")

    def __init__(self, tracked: Tracked, tag: str) -> None:
        self._tracked = tracked
        self._tag = tag
        self._lent: dict[int, None] = {}
        self._next = 0

    def lend(self, offset: int) -> TrackedMessage:
        """Return what stands for the next message; offsets ascend."""
        self._lent[offset] = None
        self._next = offset + 1
        return TrackedMessage(self, offset)

    def settle(self, offset: int) -> None:
        """Take note of an acknowledgement."""
        was_first = next(iter(self._lent), None) == offset
        self._lent.pop(offset, None)
        if was_first:
            self._tracked.note(self._tag, next(iter(self._lent), self._next))


class TrackedMessage(Message):
    """A message on loan to a tracked consumer."""

    __slots__ = ("_track",)

    def __init__(self, track: Track, offset: int) -> None:
        super().__init__(_NOTHING, b"", _KEPT, offset)
        self._track = track

    def settle(self) -> None:
        """The consumer has acknowledged it."""
        self._track.settle(self.sequence)
