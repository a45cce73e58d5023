"""Definitions come from one place, and a URL may have a token in it that nobody gets to see."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpbroker.config import Config, ConfigError, load

if TYPE_CHECKING:
    from pathlib import Path


def test_there_are_none_by_default() -> None:
    assert not Config(is_memory=True).has_definitions


def test_they_come_from_one_place(tmp_path: Path) -> None:
    url = "https://host/d.json?token=secret"
    assert Config(is_memory=True, definitions_url=url).has_definitions
    assert Config(is_memory=True, definitions=tmp_path).has_definitions
    with pytest.raises(ConfigError) as caught:
        load({"definitions": tmp_path, "definitions_url": url})
    assert str(caught.value) == "definitions and definitions_url: expected one of them"


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a file or a directory that exists"):
        load({"definitions": tmp_path / "x.json"})


@pytest.mark.parametrize("wrong", ["http://host/secret", "https://u:secret@host/", "https:///x"])
def test_no_other_url_is_taken_and_none_is_shown(wrong: str) -> None:
    with pytest.raises(ConfigError, match="definitions-url: found a value that is not") as caught:
        load({"definitions_url": wrong})
    assert "secret" not in str(caught.value)
