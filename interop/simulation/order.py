"""First deliveries come in the order of publishing: by queue, publisher, and key in partitions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interop.simulation.things import Violation

if TYPE_CHECKING:
    from collections.abc import Callable

    from interop.simulation.things import Copy, Party


class _Progress:
    """How far first deliveries of one publisher's messages have come in one queue."""

    __slots__ = ("at", "before", "last", "last_of")

    def __init__(self) -> None:
        self.last = self.before = 0
        self.at = 0.0
        """When ``last`` was delivered; ``before`` is the last one of the time before that."""
        self.last_of: dict[str, int] = {}
        """By consumer."""


class Order:
    """How far first deliveries have come."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._progress: dict[tuple[str, Party, str], _Progress] = {}

    def check(self, copy: Copy, consumer: str, *, is_prompt: bool) -> None:
        """Hold a first delivery against those before it.

        What is delivered at one time to several consumers may reach them in any order; what is not
        ``is_prompt`` (its client did not read) can only be held against the same consumer's.
        """
        message = copy.message
        key = (copy.spec.name, message.publisher, copy.spec.lane(message.key))
        progress = self._progress.setdefault(key, _Progress())
        now, number = self._now(), message.number
        limit = progress.last if progress.at < now else progress.before
        limit = max(limit if is_prompt else 0, progress.last_of.get(consumer, 0))
        if number < limit:
            raise Violation(f"{copy} was delivered after number {limit}")
        progress.last_of[consumer] = number
        if not is_prompt:
            return
        if progress.at < now:
            progress.at, progress.before = now, progress.last
        progress.last = max(progress.last, number)
