"""What is raised when a definition file cannot be imported."""

from __future__ import annotations

import json
from typing import Final

SHOWN_SIZE_MAX: Final = 80
"""Characters of a value that an error shows."""


class DefinitionsError(Exception):
    """A file that is refused; nothing has been changed.

    ``path`` is where in the JSON (``queues[3].arguments.x-message-ttl``), ``""`` for the whole.
    """

    def __init__(self, path: str, text: str) -> None:
        super().__init__(path, text)
        self.path = path
        self.text = text

    def __str__(self) -> str:
        """Return it as one line, whatever line ends a name in it may have."""
        text = f"{self.path}: {self.text}" if self.path else self.text
        return " ".join(text.splitlines())


def mismatch(path: str, expected: str, found: object) -> DefinitionsError:
    """Return the error of a value that is another than expected."""
    return DefinitionsError(path, f"expected {expected}, found {shown(found)}")


def shown(value: object) -> str:
    """Return a value as JSON has it, on one line and not too long."""
    text = json.dumps(value)
    return text if len(text) <= SHOWN_SIZE_MAX else f"{text[:SHOWN_SIZE_MAX]}…"
