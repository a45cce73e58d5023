"""The schema: its steps, its versions, and the tables that later parts use."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from amqpbroker.storage.catalog import Catalog, CatalogError
from amqpbroker.storage.catalog.schema import APPLICATION_ID, STEPS, VERSION, migrate
from tests.storage.catalog.samples import FULL, opened, stored

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION_1 = Path(__file__).with_name("version_1.sql")

TOPIC = "INSERT INTO topics (topic_name, partition_count, replication_factor) VALUES ('t', 3, 1)"
GROUP = "INSERT INTO consumer_groups (group_id) VALUES ('g')"


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    """A migrated database in memory, with foreign keys."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, "")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("INSERT INTO vhosts VALUES ('/', '{}', '{}', 0)")
        yield connection


def make(path: Path, script: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)


def tables_of(connection: sqlite3.Connection) -> dict[str, dict[str, str]]:
    """Return table → column → declared type."""
    found = connection.execute(
        "SELECT t.name, c.name, c.type FROM sqlite_master t, pragma_table_info(t.name) c"
        " WHERE t.type = 'table' ORDER BY t.name, c.cid"
    )
    tables: dict[str, dict[str, str]] = {}
    for table, column, kind in found:
        tables.setdefault(table, {})[column] = kind
    return tables


# versions


async def test_a_catalog_of_version_1_is_migrated(tmp_path: Path) -> None:
    make(tmp_path / "c", VERSION_1.read_text())
    assert await stored(tmp_path / "c") == FULL
    with closing(sqlite3.connect(tmp_path / "c")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert {"topics", "consumer_groups"} <= tables_of(connection).keys()


async def test_ids_go_on_in_a_migrated_catalog(tmp_path: Path) -> None:
    make(tmp_path / "c", VERSION_1.read_text())
    async with opened(tmp_path / "c") as catalog:
        assert catalog.next_queue_id() == 6


def test_migrating_leads_to_the_schema_of_a_new_catalog(connection: sqlite3.Connection) -> None:
    with closing(sqlite3.connect(":memory:")) as old:
        old.executescript(VERSION_1.read_text())
        migrate(old, "")
        assert tables_of(old) == tables_of(connection)


async def test_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    make(tmp_path / "c", f"{VERSION_1.read_text()} PRAGMA user_version = {VERSION + 1};")
    before = (tmp_path / "c").read_bytes()
    with pytest.raises(CatalogError, match=f"of version {VERSION + 1}, written by a newer amqp"):
        await Catalog.open(tmp_path / "c")
    assert (tmp_path / "c").read_bytes() == before


async def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    make(tmp_path / "c", "CREATE TABLE queues (id)")
    before = (tmp_path / "c").read_bytes()
    with pytest.raises(CatalogError, match="another program's SQLite file"):
        await Catalog.open(tmp_path / "c")
    assert (tmp_path / "c").read_bytes() == before


def test_a_step_that_fails_leaves_the_version_before(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = (*STEPS, "CREATE TABLE next (a); CREATE TABLE topics (b);")
    monkeypatch.setattr("amqpbroker.storage.catalog.schema.STEPS", steps)
    before = tables_of(connection)
    with pytest.raises(sqlite3.OperationalError, match="topics already exists"):
        migrate(connection, "")
    connection.rollback()
    assert tables_of(connection) == before
    assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)


def test_rows_without_what_they_need_are_found_when_migrating() -> None:
    with closing(sqlite3.connect(":memory:")) as old:
        old.executescript(VERSION_1.read_text())
        old.execute("DELETE FROM vhosts")
        old.commit()
        with pytest.raises(CatalogError, match="needs a row of vhosts that is missing"):
            migrate(old, "")


def test_the_file_says_whose_it_is(connection: sqlite3.Connection) -> None:
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)


# foreign keys


def test_every_foreign_key_is_looked_up_in_an_index(connection: sqlite3.Connection) -> None:
    keys = connection.execute(
        "SELECT t.name, group_concat(f.\"from\", ' = ? AND ') FROM sqlite_master t,"
        " pragma_foreign_key_list(t.name) f WHERE t.type = 'table' GROUP BY t.name, f.id"
    ).fetchall()
    assert len(keys) > 10
    for table, columns in keys:
        plan = connection.execute(
            f"EXPLAIN QUERY PLAN SELECT 1 FROM {table} WHERE {columns} = ?",
            [""] * (columns.count("?") + 1),
        ).fetchall()
        assert all("SEARCH" in step[3] for step in plan), (table, columns)


# topics and consumer groups (FEATURES S95-S111)


def test_the_columns_of_topics(connection: sqlite3.Connection) -> None:
    assert tables_of(connection)["topics"] == {
        "topic_name": "VARCHAR(255)",
        "partition_count": "INT",
        "replication_factor": "INT",
        "retention_ms": "BIGINT",
        "max_message_bytes": "INT",
        "compression_type": "TEXT",
        "cleanup_policy": "TEXT",
        "created_at": "TIMESTAMP",
        "config": "JSON",
        "vhost": "TEXT",
    }


def test_the_columns_of_consumer_groups(connection: sqlite3.Connection) -> None:
    assert tables_of(connection)["consumer_groups"] == {
        "group_id": "TEXT",
        "coordinator_id": "TEXT",
        "state": "TEXT",
        "protocol_type": "TEXT",
        "generation_id": "INT",
        "leader_id": "TEXT",
        "created_at": "TIMESTAMP",
        "last_heartbeat": "TIMESTAMP",
    }


def test_a_topic_is_unique_in_its_vhost(connection: sqlite3.Connection) -> None:
    connection.execute(TOPIC)
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute(TOPIC)
    connection.execute("INSERT INTO vhosts VALUES ('other', '{}', '{}', 0)")
    connection.execute(
        "INSERT INTO topics (vhost, topic_name, partition_count, replication_factor)"
        " VALUES ('other', 't', 1, 1)"
    )
    connection.execute("DELETE FROM vhosts WHERE name = 'other'")
    assert connection.execute("SELECT count(*) FROM topics").fetchone() == (1,)


def test_a_topic_has_the_defaults_of_a_kafka_broker(connection: sqlite3.Connection) -> None:
    connection.execute(TOPIC)
    found = connection.execute(
        "SELECT retention_ms, max_message_bytes, compression_type, cleanup_policy, config"
        " FROM topics"
    ).fetchone()
    assert found == (None, 1048588, "producer", "delete", "{}")


def test_the_partitions_of_a_topic_only_grow(connection: sqlite3.Connection) -> None:
    connection.execute(TOPIC)
    connection.execute("UPDATE topics SET partition_count = 4")
    with pytest.raises(sqlite3.IntegrityError, match="can only grow"):
        connection.execute("UPDATE topics SET partition_count = 3")


@pytest.mark.parametrize(
    "change",
    [
        "topic_name = ''",
        f"topic_name = '{'t' * 256}'",
        "replication_factor = NULL",
        "replication_factor = 0",
        "partition_count = 'many'",
        "retention_ms = -1",
        "compression_type = 'rar'",
        "cleanup_policy = 'never'",
        "created_at = '2024-01-01T00:00:00+02:00'",
        "config = '[]'",
    ],
)
def test_a_topic_keeps_out_what_is_none(connection: sqlite3.Connection, change: str) -> None:
    connection.execute(TOPIC)
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute(f"UPDATE topics SET {change}")


@pytest.mark.parametrize("value", ["none", "gzip", "snappy", "lz4", "zstd", "producer"])
def test_kinds_of_compression(connection: sqlite3.Connection, value: str) -> None:
    connection.execute(TOPIC)
    connection.execute("UPDATE topics SET compression_type = ?", (value,))


@pytest.mark.parametrize(
    "state", ["Empty", "PreparingRebalance", "CompletingRebalance", "Stable", "Dead"]
)
def test_states_of_a_group(connection: sqlite3.Connection, state: str) -> None:
    connection.execute(GROUP)
    connection.execute("UPDATE consumer_groups SET state = ?", (state,))


@pytest.mark.parametrize(
    "change",
    ["state = 'Happy'", "state = 'stable'", "generation_id = 'x'", "last_heartbeat = 'noon'"],
)
def test_a_group_keeps_out_what_is_none(connection: sqlite3.Connection, change: str) -> None:
    connection.execute(GROUP)
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute(f"UPDATE consumer_groups SET {change}")


def test_a_new_group_is_empty_and_without_leader(connection: sqlite3.Connection) -> None:
    connection.execute(GROUP)
    found = connection.execute(
        "SELECT state, generation_id, leader_id, last_heartbeat FROM consumer_groups"
    ).fetchone()
    assert found == ("Empty", 0, None, None)
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute(GROUP)
