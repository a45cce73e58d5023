"""The broker as a real process on a real directory, which can be killed and started again."""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import sys
import time
from threading import Thread
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

READY: Final = re.compile(r"\bamqp=(\S+):(\d+)(?: management=\S+:(\d+))?")
TIMEOUT_S: Final = 30.0
SETTINGS: Final = {
    # Segments so small that they fill, die and are compacted all the time.
    "AMQPBROKER_SEGMENT_SIZE": str(64 * 1024),
    "AMQPBROKER_DISK_FREE_LIMIT": "0",
}


class NotStarted(Exception):
    """The broker has ended instead of becoming ready."""

    def __init__(self, exit_code: int, log: str) -> None:
        super().__init__(f"exit code {exit_code}: {log}")
        self.exit_code = exit_code
        self.log = log


class BrokerProcess:
    """`amqpbroker serve --data-dir …` on a free port of 127.0.0.1."""

    def __init__(
        self,
        data_dir: Path,
        settings: Mapping[str, str],
        *,
        prefix: Sequence[str] = (),
        management_port: str = "off",
    ) -> None:
        """Start it and wait until it is ready; ``prefix`` is a command that runs the command.

        Raises NotStarted.
        """
        serve = ("serve", "--data-dir", str(data_dir), "--port", "0")
        management = ("--management-port", management_port)
        command = (*prefix, sys.executable, "-m", "amqpbroker", *serve, *management)
        given = {f"AMQPBROKER_{name.upper()}": value for name, value in settings.items()}
        started_at = time.monotonic()
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **SETTINGS, **given},
        )
        self._lines: list[str] = []
        self._reader = Thread(target=self._read_log, daemon=True)
        self._reader.start()
        line = self._first_line()
        self.ready_s = time.monotonic() - started_at
        found = READY.search(line)
        if found is None:
            self.process.kill()
            exit_code = self.process.wait()
            self._reader.join()
            raise NotStarted(exit_code, self.log())
        self.port = int(found[2])
        self.management_port = int(found[3] or 0)

    def _read_log(self) -> None:
        # Through a pipe: a file would not take the log when the disk is full.
        assert self.process.stderr is not None
        self._lines.extend(self.process.stderr)

    def log(self) -> str:
        """Return what has been logged so far."""
        return "".join(self._lines)

    def kill(self) -> None:
        """Kill it without a warning."""
        self.process.kill()
        self.process.wait()
        self._close_pipes()

    def _close_pipes(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._reader.join()
        self.process.stdout.close()
        self.process.stderr.close()

    def stop(self) -> int:
        """Have it stop in good order; return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def _first_line(self) -> str:
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(TIMEOUT_S):
                return ""
        line = self.process.stdout.readline()
        if not line:
            self.process.wait(TIMEOUT_S)
        return line
