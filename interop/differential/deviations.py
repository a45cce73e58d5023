"""Differences that are intended, each with its reason.

The broker follows RabbitMQ 3.13 to 4.2 where that differs from the oracle's version. A deviation
matches a difference by its two sides; ``is_contained`` tells whether the program's state after
it is still the same on both sides (a different text), or not (comparing ends with that step).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from interop.differential.compare import Difference


@dataclass(frozen=True)
class Deviation:
    """An intended difference."""

    name: str
    reason: str
    matches: Callable[[Difference], bool]
    is_contained: bool = False


DEVIATIONS: Final[tuple[Deviation, ...]] = ()


def find_deviation(difference: Difference) -> Deviation | None:
    """Return the deviation that explains a difference, or None."""
    return next((each for each in DEVIATIONS if each.matches(difference)), None)
