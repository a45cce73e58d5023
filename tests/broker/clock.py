"""A clock that stands still until a test sets it."""

from __future__ import annotations


class Clock:
    """Returns ``now`` (seconds) when it is called."""

    def __init__(self) -> None:
        self.now: float = 0

    def __call__(self) -> float:
        return self.now
