"""Answers of a service, kept for a while so that it is not asked per method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable


class AnswerCache:
    """Permissions live for ``ttl_s``; refusals and failures for whoever asked, once.

    When it is full the oldest go first.
    """

    def __init__(self, ttl_s: float, count_max: int, now: Callable[[], float]) -> None:
        """``now`` is any clock in seconds."""
        self._ttl_s = ttl_s
        self._count_max = count_max
        self._now = now
        self._answers: dict[Hashable, tuple[Any, float]] = {}

    def __len__(self) -> int:
        return len(self._answers)

    def put(self, question: Hashable, answer: Any) -> None:
        """Keep an answer."""
        self._answers.pop(question, None)
        while len(self._answers) >= self._count_max:
            del self._answers[next(iter(self._answers))]
        self._answers[question] = (answer, self._now() + self._ttl_s)

    def get(self, question: Hashable, *, is_kept: Callable[[Any], bool]) -> Any:
        """Return an answer, None if there is none; one that is not to be kept is given once."""
        found = self._answers.get(question)
        if found is None:
            return None
        answer, ends_at = found
        is_over = self._now() >= ends_at
        if is_over or not is_kept(answer):
            del self._answers[question]
        return None if is_over else answer
