"""Rows: what the broker writes comes back as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.storage.catalog.samples import EMPTY, FULL, opened, put_all, stored

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_new_catalog_is_empty() -> None:
    async with opened() as catalog:
        assert await catalog.load() == EMPTY


async def test_every_kind_of_row_comes_back(tmp_path: Path) -> None:
    async with opened(tmp_path / "catalog.db") as catalog:
        await put_all(catalog).wait()
        assert await catalog.load() == FULL
    assert await stored(tmp_path / "catalog.db") == FULL


async def test_types_come_back_too() -> None:
    async with opened() as catalog:
        await put_all(catalog).wait()
        for kind in await catalog.load():
            for row in kind:
                (expected,) = (sample for samples in FULL for sample in samples if sample == row)
                assert type(row) is type(expected)
                assert list(map(type, row)) == list(map(type, expected))
