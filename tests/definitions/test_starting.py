"""The import at start-up happens once for the same bytes, if that is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from amqpbroker.broker.opening import open_broker
from amqpbroker.config import Config
from amqpbroker.definitions import DefinitionsError, import_at_start
from amqpbroker.definitions.starting import DIGEST_PARAMETER
from tests.definitions.document import encoded, sample

if TYPE_CHECKING:
    from pathlib import Path


def queues(*names: str) -> dict[str, Any]:
    items = [{"name": name, "vhost": "/", "durable": True} for name in names]
    return {"vhosts": [{"name": "/"}], "queues": items}


async def started(tmp_path: Path, document: object, **settings: Any) -> list[str]:
    """Start once on the same data; delete the first queue; return those that were there."""
    file = tmp_path / "d.json"
    file.write_bytes(encoded(document))
    config = Config(data_dir=tmp_path / "data", definitions=file, **settings)
    async with open_broker(config) as broker:
        await import_at_start(broker)
        vhost = broker.vhosts["/"]
        names = sorted(vhost.queues)
        vhost.delete_queue(vhost.queues[names[0]])
    return names


async def test_without_definitions_nothing_happens() -> None:
    async with open_broker(Config(is_memory=True)) as broker:
        await import_at_start(broker)
        assert list(broker.vhosts) == ["/"]


async def test_every_start_imports_unless_told_otherwise(tmp_path: Path) -> None:
    for _ in range(2):
        assert await started(tmp_path, queues("a", "b")) == ["a", "b"]


async def test_the_same_bytes_are_skipped(tmp_path: Path) -> None:
    once = {"definitions_skip_if_unchanged": True}
    assert await started(tmp_path, queues("a", "b", "c"), **once) == ["a", "b", "c"]
    assert await started(tmp_path, queues("a", "b", "c"), **once) == ["b", "c"]
    assert await started(tmp_path, queues("a", "c"), **once) == ["a", "c"]


async def test_a_refused_file_is_not_remembered(tmp_path: Path) -> None:
    file = tmp_path / "d.json"
    file.write_text('{"queues": [{}]}')
    config = Config(is_memory=True, definitions=file, definitions_skip_if_unchanged=True)
    async with open_broker(config) as broker:
        with pytest.raises(DefinitionsError):
            await import_at_start(broker)
        assert DIGEST_PARAMETER not in broker.global_parameters


async def test_a_directory_is_imported_whole(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    document = sample()
    bindings = {"bindings": document.pop("bindings")}
    (folder / "1.json").write_bytes(encoded(document))
    (folder / "2.json").write_bytes(encoded(bindings))
    async with open_broker(Config(is_memory=True, definitions=folder)) as broker:
        await import_at_start(broker)
        assert len(broker.vhosts["v"].exchanges["x"].bindings) == 1
    bindings["bindings"][0]["source"] = "nobody"
    (folder / "2.json").write_bytes(encoded(bindings))
    async with open_broker(Config(is_memory=True, definitions=folder)) as broker:
        with pytest.raises(DefinitionsError, match=r"^2\.json: bindings\[0\]\.source"):
            await import_at_start(broker)
        assert not broker.vhosts
