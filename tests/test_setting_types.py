"""How text becomes a value."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from amqpbroker.setting_types import OptionalName, OptionalPort, Words, split_words


@pytest.mark.parametrize("word", ["off", "None", "", False])
def test_there_are_words_for_nothing(word: object) -> None:
    assert TypeAdapter(OptionalPort).validate_python(word) is None
    assert TypeAdapter(OptionalName).validate_python(word) is None


def test_a_port_is_a_port() -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(OptionalPort).validate_python("65536")


def test_words_stand_between_commas() -> None:
    assert TypeAdapter(Words).validate_python("a, b,,a") == {"a", "b"}
    assert TypeAdapter(Words).validate_python("none") == set()
    assert split_words(["as", "it", "is"]) == ["as", "it", "is"]
