"""How lines of the log look: one event, one line, whatever names clients choose.

A user called ``"x\\n2026-01-01 INFO guest logged in"`` must not write a line of its own, nor may a
queue's name move the cursor of whoever reads. Tracebacks, which are ours, keep their lines.
"""

from __future__ import annotations

import logging
from typing import Final

FORMAT: Final = "%(asctime)s %(levelname)s %(name)s %(message)s"


class OneLine(logging.Formatter):
    """Writes what cannot be printed as escapes, such as ``\\n`` and ``\\x1b``."""

    def __init__(self) -> None:
        super().__init__(FORMAT)

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line without the traceback."""
        line = super().formatMessage(record)
        return line if line.isprintable() else escape(line)


def escape(text: str) -> str:
    """Return a text with an escape for each character that cannot be printed."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def log_to_stderr(level: str) -> None:
    """Log from ``level`` on, one of the names that ``logging`` knows."""
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine())
    logging.basicConfig(level=level.upper(), handlers=[handler])
