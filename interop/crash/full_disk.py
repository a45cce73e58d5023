"""A disk that fills up under a broker, and is given more room later.

Where one may mount, the disk is a small tmpfs. Elsewhere the files of the broker are kept from
growing (RLIMIT_FSIZE), which the log takes for a full disk too.
"""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from pamqp import commands

from interop.crash.client import Connection, connect
from interop.crash.load import DIRECT, contents, declare
from interop.crash.process import BrokerProcess, NotStarted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SMALL: Final = "12m"
"""Room for the catalog and some segments."""
LARGE: Final = "64m"
FILE_SIZE_MAX: Final = 32 * 1024
"""Bytes: half a segment."""
PATIENCE_S: Final = 20.0
BURST: Final = 200


class SmallDisk:
    """The disk of one data directory."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self.is_mounted = False

    def mount(self) -> None:
        """Make the disk, where that is allowed."""
        self._data_dir.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", str(self._data_dir)]
        if os.geteuid() == 0:
            self.is_mounted = (
                subprocess.run(command, capture_output=True, check=False).returncode == 0
            )

    def limit(self, broker: BrokerProcess) -> None:
        """Keep the files of a broker from growing, if the disk is not small."""
        if not self.is_mounted:
            _limit_files(broker, FILE_SIZE_MAX)

    def enlarge(self, broker: BrokerProcess | None = None) -> None:
        """Give the broker room again."""
        if self.is_mounted:
            command = ["mount", "-o", f"remount,size={LARGE}", str(self._data_dir)]
            subprocess.run(command, capture_output=True, check=True)
        elif broker is not None:
            _limit_files(broker, resource.RLIM_INFINITY)

    def unmount(self) -> None:
        """Take the disk away."""
        if self.is_mounted:
            subprocess.run(["umount", str(self._data_dir)], capture_output=True, check=True)


def _limit_files(broker: BrokerProcess, size: int) -> None:
    _, hard = resource.prlimit(broker.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(broker.process.pid, resource.RLIMIT_FSIZE, (size, hard))


@contextmanager
def _small_disk(data_dir: Path) -> Iterator[SmallDisk]:
    disk = SmallDisk(data_dir)
    disk.mount()
    try:
        yield disk
    finally:
        disk.unmount()


class Publisher:
    """Publishes with confirms until there is no room any more."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.published = 0
        self.confirmed = 0
        connection.on_confirm = self._confirm

    def _confirm(self, tag: int, multiple: bool) -> None:
        # Confirms of one channel come in order.
        assert multiple or tag == self.confirmed + 1
        self.confirmed = tag

    async def publish_until_blocked(self) -> None:
        """Publish bursts until the broker says that it is blocked."""
        deadline = time.monotonic() + 3 * PATIENCE_S
        while not self.connection.blocked:
            assert time.monotonic() < deadline, "the disk does not fill up"
            for _ in range(BURST):
                self.published += 1
                self.connection.publish(f"kept-{self.published}", routing_key=DIRECT)
            await self._wait_until_quiet()

    async def _wait_until_quiet(self) -> None:
        for _ in range(40):
            if self.confirmed == self.published or self.connection.blocked:
                return
            await asyncio.sleep(0.05)

    async def wait_until_all_is_confirmed(self) -> None:
        """Wait for the confirms that are due."""
        deadline = time.monotonic() + PATIENCE_S
        while self.confirmed < self.published:
            assert time.monotonic() < deadline, f"{self.published - self.confirmed} not confirmed"
            await asyncio.sleep(0.05)


async def _publisher(port: int) -> Publisher:
    await declare(port)
    connection = await connect(port)
    await connection.client.call(commands.Confirm.Select())
    return Publisher(connection)


async def _fill_up(broker: BrokerProcess, disk: SmallDisk) -> Publisher:
    publisher = await _publisher(broker.port)
    disk.limit(broker)
    await publisher.publish_until_blocked()
    assert publisher.connection.blocked == ["low on disk"], publisher.connection.blocked
    confirmed = publisher.confirmed
    assert confirmed < publisher.published, "all was confirmed"
    await asyncio.sleep(2.5)
    assert publisher.confirmed == confirmed, "something is confirmed on a full disk"
    consumer = await connect(broker.port)
    await consumer.consume(DIRECT, 10)
    delivery = await consumer.next(5)
    assert delivery is not None, "a consumer gets nothing while the disk is full"
    await consumer.close()
    return publisher


def fills_up(data_dir: Path) -> None:
    """Publishers wait, and go on when there is room."""

    async def play(broker: BrokerProcess, disk: SmallDisk) -> int:
        publisher = await _fill_up(broker, disk)
        disk.enlarge(broker)
        await publisher.wait_until_all_is_confirmed()
        assert publisher.connection.blocked[-1] == "", "it is still blocked"
        return publisher.confirmed

    with _small_disk(data_dir) as disk:
        broker = BrokerProcess(data_dir, {})
        confirmed = asyncio.run(play(broker, disk))
        broker.kill()
        _expect_confirmed(data_dir, confirmed)


def killed_when_full(data_dir: Path) -> None:
    """What was confirmed before the disk was full is there after a kill, on a full disk and not."""

    async def play(broker: BrokerProcess, disk: SmallDisk) -> int:
        return (await _fill_up(broker, disk)).confirmed

    with _small_disk(data_dir) as disk:
        broker = BrokerProcess(data_dir, {})
        confirmed = asyncio.run(play(broker, disk))
        broker.kill()
        refused = _start_and_kill(data_dir)
        if refused is not None:
            log = refused.log
            assert "the disk is full" in log, log
            assert refused.exit_code == 1, log
            assert "Traceback" not in log, log
        disk.enlarge()
        _expect_confirmed(data_dir, confirmed)


def _start_and_kill(data_dir: Path) -> NotStarted | None:
    """Start a broker for a moment; return why it did not if so."""
    try:
        BrokerProcess(data_dir, {}).kill()
    except NotStarted as refused:
        return refused
    return None


def _expect_confirmed(data_dir: Path, confirmed: int) -> None:
    broker = BrokerProcess(data_dir, {})
    found = [item.name for item in asyncio.run(contents(broker.port))[DIRECT]]
    assert broker.stop() == 0
    expected = [f"kept-{number}" for number in range(1, confirmed + 1)]
    assert found[:confirmed] == expected, "something that was confirmed is lost"
