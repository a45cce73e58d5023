"""A data directory is opened whole or refused with what to do; it is closed in good order."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sqlite3
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from pamqp import commands

from amqpbroker.broker.bodies import in_memory
from amqpbroker.broker.opening import CATALOG_NAME, SHARD_NAME, log_options, open_broker
from amqpbroker.config import Config
from amqpbroker.storage.catalog import CatalogError
from amqpbroker.storage.crc32c import extend
from amqpbroker.storage.disk import DirectoryDisk
from amqpbroker.storage.encryption import new_key_line
from amqpbroker.storage.inspect import verify
from amqpbroker.storage.log import LogMissing, LogUnavailable
from amqpbroker.storage.segment_log import SegmentLog
from tests.amqp_bytes import command_frame
from tests.broker.client import MemoryClient
from tests.broker.client import connect as connect_client
from tests.broker.durable import PERSISTENT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from amqpbroker.broker.broker import Broker


@asynccontextmanager
async def opened(data_dir: Path, **settings: Any) -> AsyncIterator[Broker]:
    """Open a broker on a directory."""
    async with open_broker(Config(data_dir=data_dir, **settings)) as broker:
        yield broker


async def declare(client: MemoryClient, name: str) -> None:
    """Declare a durable queue, which takes until it is in the catalog."""
    command = commands.Queue.Declare(queue=name, durable=True)
    await client.session.receive(command_frame(command, 1))
    client.broker.flush()
    client.read(commands.Queue.DeclareOk)


async def fill(data_dir: Path, *bodies: bytes, **settings: Any) -> None:
    """Have messages in the durable queue q."""
    async with opened(data_dir, **settings) as broker:
        client = connect_client(broker)
        await declare(client, "q")
        client.publish("q", *bodies, header=PERSISTENT)
        assert broker.journal is not None
        await broker.journal.wait(broker.journal.ticket)


async def found(data_dir: Path, **settings: Any) -> list[bytes]:
    """Return what is in q, and leave it there."""
    async with opened(data_dir, **settings) as broker:
        return in_memory(list(broker.vhosts["/"].queues["q"].ready))


async def test_in_memory_nothing_is_opened(tmp_path: Path) -> None:
    async with opened(tmp_path, is_memory=True) as broker:
        assert (broker.journal, broker.store) == (None, None)
        assert list(broker.vhosts) == ["/"]
    assert os.listdir(tmp_path) == []


async def test_a_directory_is_made(tmp_path: Path) -> None:
    data_dir = tmp_path / "a" / "b"
    async with opened(data_dir) as broker:
        assert list(broker.vhosts) == ["/"]
        assert list(broker.users.users) == ["guest"]
    assert set(os.listdir(data_dir)) == {CATALOG_NAME, SHARD_NAME}


async def test_messages_and_definitions_are_there_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await fill(tmp_path, b"1", b"2")
    assert await found(tmp_path) == [b"1", b"2"]
    assert "recovered 2 messages in 1 queues" in caplog.text


async def test_what_is_staged_when_the_broker_stops_is_written(tmp_path: Path) -> None:
    async with opened(tmp_path) as broker:
        client = connect_client(broker)
        # Not even the queue is stored when the end comes.
        client.send_command(commands.Queue.Declare(queue="q", durable=True, nowait=True))
        client.publish("q", b"1", header=PERSISTENT)
    assert await found(tmp_path) == [b"1"]


async def test_a_broker_that_is_cancelled_closes_in_good_order(tmp_path: Path) -> None:
    with anyio.fail_after(5), anyio.CancelScope() as scope:
        async with opened(tmp_path) as broker:
            client = connect_client(broker)
            client.send_command(commands.Queue.Declare(queue="q", durable=True, nowait=True))
            client.publish("q", b"1", header=PERSISTENT)
            scope.cancel()
            await anyio.sleep_forever()
    assert await found(tmp_path) == [b"1"]


async def test_a_broker_on_which_no_vhost_is_left_starts_again(tmp_path: Path) -> None:
    await fill(tmp_path, b"1")
    async with opened(tmp_path) as broker:
        vhost = broker.vhosts.pop("/")
        vhost.delete_queue(vhost.queues["q"])
        assert broker.store is not None
        broker.store.delete_vhost("/")
    async with opened(tmp_path) as broker:
        assert not broker.vhosts
        assert list(broker.users.users) == ["guest"]


async def test_every_start_is_a_new_epoch(tmp_path: Path) -> None:
    for _ in range(3):
        async with opened(tmp_path):
            pass
    log = await SegmentLog.open(DirectoryDisk(tmp_path / SHARD_NAME))
    epochs = [(batch.epoch, batch.owner) async for batch in log.read(0)]
    await log.close()
    assert epochs == [(number, f"pid {os.getpid()}") for number in (1, 2, 3)]


# what is refused


async def test_a_second_broker_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path):
        with pytest.raises(CatalogError, match="stop the other broker"):
            async with opened(tmp_path):
                pass


async def test_messages_without_a_catalog_are_refused(tmp_path: Path) -> None:
    await fill(tmp_path, b"1")
    catalog = (tmp_path / CATALOG_NAME).rename(tmp_path / "aside")
    for _ in range(2):
        with pytest.raises(CatalogError, match="put the catalog back, or move the log away"):
            async with opened(tmp_path):
                pass
        (tmp_path / CATALOG_NAME).unlink()
    catalog.rename(tmp_path / CATALOG_NAME)
    assert await found(tmp_path) == [b"1"]


async def test_a_catalog_without_messages_is_refused(tmp_path: Path) -> None:
    await fill(tmp_path, b"1")
    log = (tmp_path / SHARD_NAME).rename(tmp_path / "aside")
    with pytest.raises(LogMissing, match="put it back"):
        async with opened(tmp_path):
            pass
    (tmp_path / SHARD_NAME).mkdir()
    with pytest.raises(LogMissing, match="is the disk mounted"):
        async with opened(tmp_path):
            pass
    shutil.rmtree(tmp_path / SHARD_NAME)
    log.rename(tmp_path / SHARD_NAME)
    assert await found(tmp_path) == [b"1"]


async def test_a_start_that_was_killed_halfway_is_done_again(tmp_path: Path) -> None:
    (tmp_path / SHARD_NAME).mkdir()
    await fill(tmp_path, b"1")
    assert await found(tmp_path) == [b"1"]


async def test_a_log_of_a_later_version_is_refused(tmp_path: Path) -> None:
    await fill(tmp_path, b"1")
    manifest = tmp_path / SHARD_NAME / "manifest"
    line = json.dumps(json.loads(manifest.read_bytes().splitlines()[0]) | {"format": 99}).encode()
    manifest.write_bytes(b"%b\n%08x\n" % (line, extend(0, line)))
    with pytest.raises(LogUnavailable, match="format 99"):
        async with opened(tmp_path):
            pass


async def test_a_catalog_of_a_later_version_is_refused(tmp_path: Path) -> None:
    await fill(tmp_path, b"1")
    connection = sqlite3.connect(tmp_path / CATALOG_NAME)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(CatalogError, match="written by a newer amqpbroker"):
        async with opened(tmp_path):
            pass


# settings


def test_settings_reach_the_log(tmp_path: Path) -> None:
    key_file = tmp_path / "keys"
    key_file.write_text(new_key_line(7))
    key_file.chmod(0o600)
    options = log_options(
        Config(
            fsync="interval",
            fsync_interval_s=3,
            segment_size=1 << 20,
            encryption_key_file=key_file,
        )
    )
    assert (options.fsync, options.fsync_interval_s, options.segment_size) == (
        "interval",
        3,
        1 << 20,
    )
    assert options.keyring is not None
    assert options.keyring.newest == 7


def test_without_a_key_file_nothing_is_encrypted() -> None:
    options = log_options(Config())
    assert (options.keyring, options.fsync) == (None, "always")


async def test_what_was_encrypted_opens_with_its_key_only(tmp_path: Path) -> None:
    keys, others = tmp_path / "keys", tmp_path / "others"
    for path in (keys, others):
        path.write_text(new_key_line(1))
        path.chmod(0o600)
    data_dir = tmp_path / "data"
    await fill(data_dir, b"a secret that nobody reads", encryption_key_file=keys)
    files = list((data_dir / SHARD_NAME).glob("*.log"))
    assert files
    assert not any(b"secret" in path.read_bytes() for path in files)
    refused = [({}, "give the key file"), ({"encryption_key_file": others}, "another key 1")]
    for settings, message in refused:
        with pytest.raises(LogUnavailable, match=message):
            async with opened(data_dir, **settings):
                pass
    assert await found(data_dir, encryption_key_file=keys) == [b"a secret that nobody reads"]


async def test_a_new_key_is_used_from_the_next_start_on(tmp_path: Path) -> None:
    keys, data_dir = tmp_path / "keys", tmp_path / "data"
    keys.write_text(new_key_line(1))
    keys.chmod(0o600)
    await fill(data_dir, b"old", encryption_key_file=keys)
    keys.write_text(keys.read_text() + new_key_line(2))
    await fill(data_dir, b"new", encryption_key_file=keys)
    report = verify(DirectoryDisk(data_dir / SHARD_NAME))
    assert [segment.key_id for segment in report.segments] == [1, 2]
    assert await found(data_dir, encryption_key_file=keys) == [b"old", b"new"]


async def test_a_key_file_that_is_missing_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(LogUnavailable, match="cannot read the key file"):
        async with opened(tmp_path / "data", encryption_key_file=tmp_path / "none"):
            pass
    assert not (tmp_path / "data").exists()
