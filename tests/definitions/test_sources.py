"""A file, or the files of a directory in the order of their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpbroker.config import Config
from amqpbroker.definitions import DefinitionsError
from amqpbroker.definitions.sources import Part, Source, read_source, source_name

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_file_is_one_part(tmp_path: Path) -> None:
    file = tmp_path / "d.json"
    file.write_bytes(b"{}")
    source = await read_source(Config(is_memory=True, definitions=file))
    assert source == Source(str(file), [Part("", b"{}")])


async def test_a_directory_is_its_files_in_order(tmp_path: Path) -> None:
    for name in ("20.json", "10.json", ".hidden"):
        (tmp_path / name).write_text(name)
    (tmp_path / "15.json").mkdir()
    source = await read_source(Config(is_memory=True, definitions=tmp_path))
    assert source.parts == [Part("10.json", b"10.json"), Part("20.json", b"20.json")]


async def test_a_file_that_has_gone(tmp_path: Path) -> None:
    file = tmp_path / "d.json"
    file.touch()
    config = Config(is_memory=True, definitions=file)
    file.unlink()
    with pytest.raises(DefinitionsError, match="cannot be read: No such file"):
        await read_source(config)


def test_the_digest_is_of_the_bytes_and_their_order() -> None:
    one, two = Part("a", b"1"), Part("b", b"2")
    digests = {Source("s", parts).digest for parts in ([one, two], [two, one], [one], [])}
    assert len(digests) == 4
    assert Source("s", [one]).digest == Source("other", [Part("x", b"1")]).digest


def test_a_token_in_a_url_is_not_named() -> None:
    config = Config(is_memory=True, definitions_url="https://host/d.json?token=secret")
    assert source_name(config) == "https://host/d.json"
    assert "secret" not in repr(config)
