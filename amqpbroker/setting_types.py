"""How the text of a setting becomes a value: ports, lists, and the words for nothing."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

OFF_WORDS: Final = frozenset({"", "off", "none"})


def _off_to_none(value: object) -> object:
    is_off = value is False or (isinstance(value, str) and value.strip().lower() in OFF_WORDS)
    return None if is_off else value


def split_words(value: object) -> object:
    """Return the words between commas; what is no text is left as it is."""
    if not isinstance(value, str):
        return value
    words = [word.strip() for word in value.split(",")]
    return [word for word in words if word.lower() not in OFF_WORDS]


Port = Annotated[int, Field(ge=0, le=65535)]
"""A TCP port; 0 picks a free one."""

OptionalPort = Annotated[Port | None, BeforeValidator(_off_to_none)]
"""A TCP port, or None (written ``off``) for no listener."""

OptionalName = Annotated[str | None, BeforeValidator(_off_to_none)]
"""A name, or None (written ``none``)."""

Words = Annotated[frozenset[str], NoDecode, BeforeValidator(split_words)]
"""A set of names; in text separated by commas, ``none`` is the empty set."""
