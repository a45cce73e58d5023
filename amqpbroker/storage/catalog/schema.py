"""The tables of the catalog, as numbered steps from one version of the schema to the next.

A step is never changed once it was released; a new version is a new step at the end. SQLite's
``user_version`` holds the number of steps taken, ``application_id`` says whose file it is.

Deleting a row deletes what depends on it, by foreign keys: a vhost takes all that is in it along, a
queue and an exchange their bindings, a user its permissions. A table's primary key is ordered so
that those look-ups are prefixes of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from amqpbroker.storage.catalog.exceptions import CatalogError

if TYPE_CHECKING:
    import sqlite3

APPLICATION_ID: Final = int.from_bytes(b"AMQB")

_DEFINITIONS: Final = """
CREATE TABLE vhosts (
    name TEXT NOT NULL PRIMARY KEY,
    metadata TEXT NOT NULL,
    limits TEXT NOT NULL,
    is_tracing INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE users (
    name TEXT NOT NULL PRIMARY KEY,
    password_hash TEXT,
    hashing_algorithm TEXT NOT NULL,
    tags TEXT NOT NULL,
    limits TEXT NOT NULL,
    scram_keys TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE permissions (
    username TEXT NOT NULL REFERENCES users ON DELETE CASCADE,
    vhost TEXT NOT NULL REFERENCES vhosts ON DELETE CASCADE,
    configure TEXT NOT NULL,
    write TEXT NOT NULL,
    read TEXT NOT NULL,
    PRIMARY KEY (vhost, username)
) WITHOUT ROWID;
CREATE INDEX permissions_of_user ON permissions (username);

CREATE TABLE topic_permissions (
    username TEXT NOT NULL REFERENCES users ON DELETE CASCADE,
    vhost TEXT NOT NULL REFERENCES vhosts ON DELETE CASCADE,
    exchange TEXT NOT NULL,
    write TEXT NOT NULL,
    read TEXT NOT NULL,
    PRIMARY KEY (vhost, username, exchange)
) WITHOUT ROWID;
CREATE INDEX topic_permissions_of_user ON topic_permissions (username);

CREATE TABLE exchanges (
    vhost TEXT NOT NULL REFERENCES vhosts ON DELETE CASCADE,
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    is_auto_delete INTEGER NOT NULL,
    is_internal INTEGER NOT NULL,
    arguments BLOB NOT NULL,
    PRIMARY KEY (vhost, name)
) WITHOUT ROWID;

CREATE TABLE queues (
    id INTEGER NOT NULL PRIMARY KEY,
    vhost TEXT NOT NULL REFERENCES vhosts ON DELETE CASCADE,
    name TEXT NOT NULL,
    is_auto_delete INTEGER NOT NULL,
    arguments BLOB NOT NULL,
    UNIQUE (vhost, name)
);

CREATE TABLE queue_bindings (
    vhost TEXT NOT NULL,
    source TEXT NOT NULL,
    destination TEXT NOT NULL,
    binding_key TEXT NOT NULL,
    arguments BLOB NOT NULL,
    PRIMARY KEY (vhost, destination, source, binding_key, arguments),
    FOREIGN KEY (vhost, destination) REFERENCES queues (vhost, name) ON DELETE CASCADE,
    FOREIGN KEY (vhost, source) REFERENCES exchanges ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX queue_bindings_of_source ON queue_bindings (vhost, source);

CREATE TABLE exchange_bindings (
    vhost TEXT NOT NULL,
    source TEXT NOT NULL,
    destination TEXT NOT NULL,
    binding_key TEXT NOT NULL,
    arguments BLOB NOT NULL,
    PRIMARY KEY (vhost, destination, source, binding_key, arguments),
    FOREIGN KEY (vhost, destination) REFERENCES exchanges ON DELETE CASCADE,
    FOREIGN KEY (vhost, source) REFERENCES exchanges ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX exchange_bindings_of_source ON exchange_bindings (vhost, source);

CREATE TABLE policies (
    vhost TEXT NOT NULL REFERENCES vhosts ON DELETE CASCADE,
    name TEXT NOT NULL,
    pattern TEXT NOT NULL,
    apply_to TEXT NOT NULL,
    priority INTEGER NOT NULL,
    definition TEXT NOT NULL,
    PRIMARY KEY (vhost, name)
) WITHOUT ROWID;

CREATE TABLE parameters (
    vhost TEXT NOT NULL REFERENCES vhosts ON DELETE CASCADE,
    component TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (vhost, component, name)
) WITHOUT ROWID;

CREATE TABLE global_parameters (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE counters (
    name TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
"""

# The columns and their types are those of the specification (FEATURES S95-S111). A topic is unique
# in its vhost, so that is a column too; times are UTC. `typeof` keeps out what SQLite's loose
# typing would let in.
_TOPICS: Final = """
CREATE TABLE topics (
    topic_name VARCHAR(255) NOT NULL CHECK (length(topic_name) BETWEEN 1 AND 255),
    partition_count INT NOT NULL
        CHECK (typeof(partition_count) = 'integer' AND partition_count > 0),
    replication_factor INT NOT NULL
        CHECK (typeof(replication_factor) = 'integer' AND replication_factor > 0),
    retention_ms BIGINT CHECK (retention_ms >= 0),
    max_message_bytes INT NOT NULL DEFAULT 1048588 CHECK (max_message_bytes >= 0),
    compression_type TEXT NOT NULL DEFAULT 'producer'
        CHECK (compression_type IN ('none', 'gzip', 'snappy', 'lz4', 'zstd', 'producer')),
    cleanup_policy TEXT NOT NULL DEFAULT 'delete'
        CHECK (cleanup_policy IN ('delete', 'compact', 'both')),
    created_at TIMESTAMP NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (created_at GLOB '*Z'),
    config JSON NOT NULL DEFAULT '{}' CHECK (json_type(config) = 'object'),
    vhost TEXT NOT NULL DEFAULT '/' REFERENCES vhosts ON DELETE CASCADE,
    PRIMARY KEY (vhost, topic_name)
) WITHOUT ROWID;

CREATE TRIGGER topic_partitions_only_grow BEFORE UPDATE OF partition_count ON topics
WHEN NEW.partition_count < OLD.partition_count
BEGIN
    SELECT RAISE(ABORT, 'the number of partitions of a topic can only grow');
END;

CREATE TABLE consumer_groups (
    group_id TEXT NOT NULL PRIMARY KEY,
    coordinator_id TEXT,
    state TEXT NOT NULL DEFAULT 'Empty' CHECK (
        state IN ('Empty', 'PreparingRebalance', 'CompletingRebalance', 'Stable', 'Dead')
    ),
    protocol_type TEXT NOT NULL DEFAULT '',
    generation_id INT NOT NULL DEFAULT 0 CHECK (typeof(generation_id) = 'integer'),
    leader_id TEXT,
    created_at TIMESTAMP NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (created_at GLOB '*Z'),
    last_heartbeat TIMESTAMP CHECK (last_heartbeat GLOB '*Z')
) WITHOUT ROWID;
"""

STEPS: Final = (_DEFINITIONS, _TOPICS)
"""Step n leads from version n to version n + 1."""

VERSION: Final = len(STEPS)
"""The version that this code reads and writes."""


def check_version(connection: sqlite3.Connection, place: str) -> int:
    """Return the version of a database, 0 if it is empty, before anything is changed in it.

    :raises CatalogError: it is of a newer version, or not a catalog.
    :raises sqlite3.Error: reading failed.
    """
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    application_id: int = connection.execute("PRAGMA application_id").fetchone()[0]
    is_empty = connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None
    if application_id != APPLICATION_ID and not is_empty:
        raise CatalogError(
            f"catalog {place}: this is another program's SQLite file: give the broker a data"
            " directory of its own"
        )
    if version > VERSION:
        raise CatalogError(
            f"catalog {place}: it is of version {version}, written by a newer amqpbroker; this one"
            f" knows versions up to {VERSION}: install the newer amqpbroker again, or start on"
            " another data directory"
        )
    return version


def migrate(connection: sqlite3.Connection, place: str) -> None:
    """Bring the schema of a database, which may be empty, up to `VERSION`.

    A step is one transaction: a crash leaves a whole version behind. Foreign keys must be off.

    :raises CatalogError: as `check_version`, or a row lacks what it needs.
    :raises sqlite3.Error: reading or writing failed.
    """
    version = check_version(connection, place)
    for number, step in enumerate(STEPS[version:], version + 1):
        connection.executescript(
            f"BEGIN IMMEDIATE; {step} PRAGMA application_id = {APPLICATION_ID};"
            f" PRAGMA user_version = {number}; COMMIT;"
        )
    if 0 < version < VERSION:
        _check_foreign_keys(connection, place)


def _check_foreign_keys(connection: sqlite3.Connection, place: str) -> None:
    violation = connection.execute("PRAGMA foreign_key_check").fetchone()
    if violation is not None:
        raise CatalogError(
            f"catalog {place}: a row of table {violation[0]} needs a row of {violation[2]} that is"
            " missing: put back a backup of the file"
        )
