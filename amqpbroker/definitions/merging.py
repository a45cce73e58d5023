"""Several documents as one, so that they are checked and imported as one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from amqpbroker.definitions.exceptions import DefinitionsError
from amqpbroker.definitions.reading import MODELS, Document, read_document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from amqpbroker.definitions.sources import Part

_PLACE: Final = re.compile(r"(?P<key>\w+)\[(?P<index>\d+)\](?P<rest>.*)", re.DOTALL)


class Merged(NamedTuple):
    """The lists of all documents, one behind the other."""

    document: Document
    counts: list[tuple[str, dict[str, int]]]
    """Of each document its name, and how many items it has in each list."""

    def located(self, error: DefinitionsError) -> DefinitionsError:
        """Return the error with the name of its document and the place in that one."""
        match = _PLACE.fullmatch(error.path)
        if match is None:
            return error
        key, index = match["key"], int(match["index"])
        for name, counts in self.counts:
            if index < counts[key]:
                path = f"{key}[{index}]{match['rest']}"
                return DefinitionsError(_named(name, path), error.text)
            index -= counts[key]
        return error


def merge(parts: Sequence[Part]) -> Merged:
    """Read documents.

    Raises :class:`DefinitionsError`.
    """
    merged = Merged({key: [] for key in MODELS}, [])
    for part in parts:
        try:
            document = read_document(part.data)
        except DefinitionsError as error:
            raise DefinitionsError(_named(part.name, error.path), error.text) from None
        merged.counts.append((part.name, {key: len(items) for key, items in document.items()}))
        for key, items in document.items():
            merged.document[key] += items
    return merged


def _named(name: str, path: str) -> str:
    """Return a place with the name of its document, which has none if it is the only one."""
    return ": ".join(word for word in (name, path) if word)
