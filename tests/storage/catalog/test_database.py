"""SQLite behind the catalog: all or nothing, clear refusals, and what a commit costs."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING, Any

import pytest

from amqpbroker.storage.catalog import CatalogError, ChangeRefused, database
from amqpbroker.storage.catalog.database import WAL_PAGES, SqliteDatabase, connect
from amqpbroker.storage.catalog.group import Change

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PUT = "INSERT INTO global_parameters VALUES (?, ?)"
NAMES = "SELECT name FROM global_parameters ORDER BY name"


def put(name: str, value: Any = "") -> Change:
    return Change(PUT, (name, value))


async def names(opened: SqliteDatabase) -> list[str]:
    return [name async for values in opened.select(NAMES) for (name,) in values]


def modes(directory: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}


async def pragma(opened: SqliteDatabase, text: str) -> Any:
    async for values in opened.select(f"PRAGMA {text}"):
        result = values[0][0]
    return result


@asynccontextmanager
async def opening(path: Path | None = None) -> AsyncIterator[SqliteDatabase]:
    opened = await SqliteDatabase.open(path)
    try:
        yield opened
    finally:
        await opened.close()


# groups


async def test_changes_are_carried_out_in_order() -> None:
    delete = Change("DELETE FROM global_parameters WHERE name = ?", ("a",))
    async with opening() as opened:
        assert await opened.apply([put("a"), put("b"), delete, put("a", "2"), delete]) == {}
        assert await names(opened) == ["b"]


async def test_a_refused_change_leaves_the_rest_of_its_group(tmp_path: Path) -> None:
    async with opening(tmp_path / "c") as opened:
        refused = await opened.apply([put("a"), put("a"), put("b"), put("c", object()), put("d")])
        assert sorted(refused) == [1, 3]
        assert isinstance(refused[1], ChangeRefused)
        assert "UNIQUE constraint failed" in str(refused[1])
        assert await names(opened) == ["a", "b", "d"]


async def test_a_full_disk_fails_the_whole_group_and_the_next_may_pass(tmp_path: Path) -> None:
    async with opening(tmp_path / "c") as opened:
        await opened.apply([put("a")])
        limit = await pragma(opened, "max_page_count")
        await pragma(opened, "max_page_count = 1")
        with pytest.raises(CatalogError, match="free some space"):
            await opened.apply([put("b"), put("c", "x" * 100_000), put("d")])
        assert await names(opened) == ["a"]
        await pragma(opened, f"max_page_count = {limit}")
        await opened.apply([put("e")])
        assert await names(opened) == ["a", "e"]


async def test_many_rows_come_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "FETCHED_MAX", 2)
    async with opening() as opened:
        await opened.apply([put(name) for name in "abcde"])
        portions = [len(values) async for values in opened.select(NAMES)]
        assert portions == [2, 2, 1]


async def test_a_query_that_fails_is_explained() -> None:
    async with opening() as opened:
        with pytest.raises(CatalogError, match="no such table: missing"):
            [values async for values in opened.select("SELECT * FROM missing")]


# opening


async def test_only_the_owner_may_read_the_file(tmp_path: Path) -> None:
    async with opening(tmp_path / "c"):
        assert modes(tmp_path) == {"c": 0o600, "c-wal": 0o600}


async def test_nothing_but_the_file_is_left_behind(tmp_path: Path) -> None:
    async with opening(tmp_path / "c") as opened:
        await opened.apply([put("a")])
    assert modes(tmp_path) == {"c": 0o600}


async def test_settings(tmp_path: Path) -> None:
    async with opening(tmp_path / "c") as opened:
        assert await pragma(opened, "journal_mode") == "wal"
        assert await pragma(opened, "synchronous") == 2
        assert await pragma(opened, "foreign_keys") == 1


async def test_the_wal_has_its_length_before_it_is_used(tmp_path: Path) -> None:
    async with opening(tmp_path / "c") as opened:
        wal = tmp_path / "c-wal"
        size = wal.stat().st_size
        assert size > 0.9 * WAL_PAGES * 4096
        for number in range(20):
            await opened.apply([put(f"{number}")])
        assert wal.stat().st_size == size
    assert (tmp_path / "c").stat().st_size < size


async def test_a_second_opener_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.0)
    async with opening(tmp_path / "c") as opened:
        with pytest.raises(CatalogError, match="another process uses it: stop the other broker"):
            await SqliteDatabase.open(tmp_path / "c")
        await opened.apply([put("a")])
        assert await names(opened) == ["a"]


async def test_a_missing_directory_is_told(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="its directory exists"):
        await SqliteDatabase.open(tmp_path / "d" / "c")


@pytest.mark.parametrize("unwritable", ["c", ""])
async def test_a_file_or_directory_that_cannot_be_written_is_told(
    tmp_path: Path, unwritable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opening(tmp_path / "c"):
        pass
    refused = tmp_path / unwritable  # root may write whatever its mode says
    monkeypatch.setattr("os.access", lambda path, mode: path != refused)
    with pytest.raises(CatalogError, match="cannot be written: let the broker's user write"):
        await SqliteDatabase.open(tmp_path / "c")


async def test_a_directory_in_its_place_is_told(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="cannot be opened: see that"):
        await SqliteDatabase.open(tmp_path)


async def test_a_file_that_is_none_is_told_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(b"#!/bin/sh\n" * 1000)
    with pytest.raises(CatalogError, match="no catalog at all: put back a backup"):
        await SqliteDatabase.open(tmp_path / "c")
    assert (tmp_path / "c").read_bytes() == b"#!/bin/sh\n" * 1000


@pytest.mark.parametrize("page", [1, 3, 8, 14])
async def test_damage_is_told_before_anything_is_read(tmp_path: Path, page: int) -> None:
    async with opening(tmp_path / "c") as opened:
        await opened.apply([put(f"{number}" * 100) for number in range(1000)])
    with (tmp_path / "c").open("r+b") as file:
        file.seek(page * 4096)
        file.write(b"\xa5" * 4096)
    with pytest.raises(CatalogError, match="it is damaged: put back a backup of the file"):
        await SqliteDatabase.open(tmp_path / "c")


def test_connecting_closes_what_it_cannot_use(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "c")) as other:
        other.execute("CREATE TABLE t (a)")
    with pytest.raises(CatalogError):
        connect(tmp_path / "c")
    (tmp_path / "c").unlink()
    connect(tmp_path / "c").close()


def test_a_program_ends_even_if_it_forgets_to_close(tmp_path: Path) -> None:
    program = (
        "import asyncio, pathlib, sys\n"
        "from amqpbroker.storage.catalog import Catalog\n"
        "kept = []\n"
        "async def main():\n"
        "    kept.append(await Catalog.open(pathlib.Path(sys.argv[1])))\n"
        "    raise SystemExit(3)\n"
        "asyncio.run(main())\n"
    )
    arguments = [sys.executable, "-c", program, str(tmp_path / "c")]
    assert subprocess.run(arguments, timeout=15, check=False).returncode == 3
