r"""The regular expressions of permissions: RabbitMQ's, run by Python.

RabbitMQ runs PCRE over the bytes of a name, unanchored, and takes ``""`` for ``^$`` (FEATURES
A15.8). Patterns and names are therefore compiled and searched as UTF-8 **bytes** here: ``.`` is one
byte and ``\w`` is ASCII in both. What the two write differently is translated::

    (?<name>…)  →  (?P<name>…)            \z  →  \Z
    [[:alpha:]] →  [a-zA-Z]               \Z  →  (?=\n?\Z)
    \Q…\E       →  the text, escaped      \h  →  [ \t\xa0]
    {,3}        →  \{,3} (PCRE 8: no repetition)
    [a&&b]      →  [a&\&b], and so for || ~~ -- and a bare [, which Python keeps for later use

What Python has not (``(?R)``, ``\K``, ``\p{…}``, ``[[:^alpha:]]``, flags in the middle)
does not compile, and a pattern that does not compile matches nothing: a bad permission denies.

Python has no limit on backtracking: ``(a+)+$`` is as bad an idea here as in any such engine. Names
come from clients, patterns of permissions from administrators; where others may give one,
``regexp_costs`` looks at it first. A pattern is at most 1024 bytes, as in RabbitMQ 4.3.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from amqpbroker.auth.exceptions import InvalidRegexp

REGEXP_SIZE_MAX: Final = 1024
"""Bytes."""
COMPILED_COUNT_MAX: Final = 4096

_POSIX_CLASSES: Final = {
    "alpha": "a-zA-Z",
    "digit": "0-9",
    "alnum": "a-zA-Z0-9",
    "upper": "A-Z",
    "lower": "a-z",
    "space": r"\s",
    "blank": r" \t",
    "punct": r"!-/:-@\[-`{-~",
    "xdigit": "0-9a-fA-F",
    "word": r"\w",
    "cntrl": r"\x00-\x1f\x7f",
    "print": r"\x20-\x7e",
    "graph": r"\x21-\x7e",
}
_PIECES: Final = re.compile(
    r"""
      \\Q (?P<quoted> .*? ) (?: \\E | \Z )
    | (?P<escaped> \\ . )
    | \[: (?P<posix> [^\]]* ) :\]
    | (?P<group> \(\?< (?= [A-Za-z_] ) )
    | (?P<brace> \{, )
    | (?P<double> &&+ | \|\|+ | ~~+ | --+ )
    | (?P<bracket> [\[\]] )
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPES: Final = {
    r"\z": r"\Z",
    r"\Z": r"(?=\n?\Z)",
    r"\h": r"[ \t\xa0]",
    r"\H": r"[^ \t\xa0]",
    r"\N": ".",
    r"\E": "",
}
_ESCAPES_IN_SET: Final = {r"\h": r" \t\xa0", r"\E": ""}


def translate(pattern: str) -> str:
    """Return ``pattern`` in Python's dialect; what needs no translation stays as it is.

    :raises InvalidRegexp: a class in a set that Python would read as single letters.
    """
    return "".join(_Translation(pattern).pieces())


class _Translation:
    """One pass over a pattern; knows only whether it stands in a ``[set]``."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._set_start: int | None = None

    def pieces(self) -> list[str]:
        done = 0
        pieces: list[str] = []
        for match in _PIECES.finditer(self._pattern):
            pieces += self._pattern[done : match.start()], self._piece(match)
            done = match.end()
        return [*pieces, self._pattern[done:]]

    def _piece(self, match: re.Match[str]) -> str:
        text = match[0]
        if match["bracket"]:
            return self._bracket(text, match.start())
        if match["posix"] is not None:
            return self._posix_class(text, match["posix"])
        if match["quoted"] is not None:
            return re.escape(match["quoted"])
        if self._set_start is not None:
            return self._piece_of_set(match, match.start() == self._set_start + 1)
        if match["escaped"]:
            return _ESCAPES.get(text, text)
        if match["group"]:
            return "(?P<"
        return r"\{," if match["brace"] else text

    @staticmethod
    def _piece_of_set(match: re.Match[str], is_first: bool) -> str:
        text = match[0]
        if match["double"]:
            plain_count = 2 if is_first else 1
            return text[:plain_count] + "".join(f"\\{char}" for char in text[plain_count:])
        return _ESCAPES_IN_SET.get(text, text)

    def _posix_class(self, text: str, name: str) -> str:
        if self._set_start is None or name not in _POSIX_CLASSES:
            raise InvalidRegexp(self._pattern, f"unknown class {text}")
        return _POSIX_CLASSES[name]

    def _bracket(self, text: str, position: int) -> str:
        if text == "[":
            if self._set_start is not None:
                if self._pattern[position + 1 : position + 2] in (".", "="):
                    raise InvalidRegexp(self._pattern, "collating elements are not supported")
                return r"\["
            self._set_start = position
        elif self._set_start is not None:
            is_first = self._pattern[self._set_start : position] in ("[", "[^")
            if is_first:
                return r"\]"
            self._set_start = None
        return text


@lru_cache(maxsize=COMPILED_COUNT_MAX)
def compile_regexp(pattern: str) -> re.Pattern[bytes]:
    """Return ``pattern`` compiled, from a cache; ``""`` is ``^$``.

    :raises InvalidRegexp: it does not compile or is too long.
    """
    data = translate(pattern or "^$").encode("utf-8", "surrogateescape")
    if len(data) > REGEXP_SIZE_MAX:
        raise InvalidRegexp(pattern, f"longer than {REGEXP_SIZE_MAX} bytes")
    try:
        return re.compile(data)
    except (re.error, RecursionError, OverflowError) as error:
        raise InvalidRegexp(pattern, str(error)) from None


@lru_cache(maxsize=COMPILED_COUNT_MAX)
def _search_of(pattern: str) -> re.Pattern[bytes] | None:
    """Remember bad patterns too, so that they cost nothing after the first time."""
    try:
        return compile_regexp(pattern)
    except InvalidRegexp:
        return None


def matches(pattern: str, name: str) -> bool:
    """Return whether ``pattern`` is found anywhere in ``name``; a bad pattern is found nowhere."""
    compiled = _search_of(pattern)
    return compiled is not None and bool(compiled.search(name.encode("utf-8", "surrogateescape")))


def escape(text: str) -> str:
    """Return a pattern that matches ``text`` and nothing else."""
    return re.escape(text)
