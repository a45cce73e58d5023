"""What a regular expression may cost at worst, so that nobody can stop the broker with one.

Python tries one way after the other and has no limit on it: ``(a+)+$`` takes longer than the world
lasts for some names of 40 letters. The cost here is the number of ways there are to try for a name
of the greatest length, by the pattern alone: choices of repetitions multiply, alternatives add up,
and a pattern that is not anchored is tried everywhere. It is a bound from above, which refuses some
patterns that are cheap in truth: for administrators, who may do all, it does not count.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from amqpbroker.auth.regexps import compile_regexp

if TYPE_CHECKING:
    from collections.abc import Iterable

_parser: Any = importlib.import_module("re._parser")

NAME_SIZE_MAX: Final = 256
"""Bytes, about: names on the wire have 255."""
COST_MAX: Final = 4 * NAME_SIZE_MAX**2
"""Two open repetitions, or one in a pattern that is not anchored, and a little: a millisecond."""
TOO_COSTLY: Final = "pattern could take too long to match: an administrator may set it"
_BEYOND: Final = COST_MAX + 1
_ANCHORS: Final = frozenset({"AT_BEGINNING", "AT_BEGINNING_STRING"})


def is_cheap(pattern: str) -> bool:
    """Return whether a pattern is matched quickly against every name.

    :raises InvalidRegexp: it does not compile.
    """
    items = list(_parser.parse(compile_regexp(pattern).pattern))
    is_anchored = bool(items) and str(items[0][0]) == "AT" and str(items[0][1]) in _ANCHORS
    try:
        return _row(items) * (1 if is_anchored else NAME_SIZE_MAX) <= COST_MAX
    except RecursionError:
        return False


def _row(items: Iterable[tuple[Any, Any]]) -> int:
    """Return in how many ways a row of items can match, all of a cost beyond being one."""
    cost = 1
    for kind, value in items:
        cost = min(cost * _item(str(kind), value), _BEYOND)
    return cost


def _item(kind: str, value: Any) -> int:
    if kind in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        least, most, body = value
        return _repeated(_row(body), least, min(most, NAME_SIZE_MAX))
    if kind == "BRANCH":
        return sum(_row(alternative) for alternative in value[1])
    if kind == "SUBPATTERN":
        return _row(value[-1])
    if kind == "ATOMIC_GROUP":
        return _row(value)
    if kind in ("ASSERT", "ASSERT_NOT"):
        return _row(value[1])
    if kind == "GROUPREF_EXISTS":
        return _row(value[1]) + _row(value[2] or ())
    return 1


def _repeated(cost: int, least: int, most: int) -> int:
    """Return the ways of ``least`` to ``most`` times something that matches in ``cost`` ways."""
    if cost == 1:
        return max(most - least, 0) + 1
    total = 0
    for count in range(least, max(least, most) + 1):
        if count >= _BEYOND.bit_length() or total > COST_MAX:
            return _BEYOND
        total += cost**count
    return total
