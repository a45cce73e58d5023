"""The broker under test: start ours in its own process, or attach to one that runs.

Memory is VmRSS of the process and all its children, read from /proc (Linux only).
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import selectors
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

READY = re.compile(r"\bamqp=(\S+):(\d+)(?: management=\S+:(\d+))?")
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 30.0
LISTEN_STATE = "0A"


class StartFailed(Exception):
    """The broker did not print its ready line."""


@dataclass
class Broker:
    """A broker that accepts connections."""

    name: str
    host: str
    port: int
    pid: int | None = None
    process: subprocess.Popen[str] | None = None
    log: Path | None = None  # its stderr
    ready_s: float | None = None  # from exec to the ready line
    management_port: int = 0  # 0: not known

    def rss_mib(self) -> float | None:
        """Resident memory of the process and its children in MiB; None if not known."""
        return None if self.pid is None else sum(map(_rss_kib, _family(self.pid))) / 1024

    def file_count(self) -> int | None:
        """How many file descriptors the process holds; None if not known."""
        return None if self.pid is None else len(os.listdir(f"/proc/{self.pid}/fd"))

    def stop(self) -> int | None:
        """End a broker that we started and return its exit code; leave others alone."""
        if self.process is None:
            return None
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process.terminate()
        try:
            return self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def kill(self) -> None:
        """End a broker that we started as a crash would."""
        assert self.process is not None
        self.process.kill()
        self.stop()

    def discard_log(self) -> None:
        """Remove the stderr of a broker that we started."""
        if self.process is not None and self.log is not None:
            self.log.unlink(missing_ok=True)


def start_amqpbroker(data_dir: Path | None = None, *, timeout_s: float = START_TIMEOUT_S) -> Broker:
    """Start `python -m amqpbroker serve` on free ports and wait for its ready line.

    Raises:
        StartFailed: with the end of its stderr.
    """
    where = ["--memory"] if data_dir is None else ["--data-dir", str(data_dir)]
    command = [sys.executable, "-m", "amqpbroker", "serve", *where]
    command += ["--port", "0", "--management-port", "0"]
    raise_file_limit()
    handle, path = tempfile.mkstemp(prefix="amqpbroker-", suffix=".log")
    started = time.perf_counter()
    with open(handle, "w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    line = _first_line(process, timeout_s)
    ready_s = time.perf_counter() - started
    found = READY.search(line)
    if found is None:
        process.kill()
        process.wait()
        raise StartFailed(f"{' '.join(command)}\n{Path(path).read_text()[-2000:]}")
    return Broker(
        "amqpbroker",
        found[1],
        int(found[2]),
        pid=process.pid,
        process=process,
        log=Path(path),
        ready_s=ready_s,
        management_port=int(found[3] or 0),
    )


def attach(address: str, *, name: str = "RabbitMQ", log: Path | None = None) -> Broker:
    """Use the broker that listens on `HOST:PORT`; its pid is looked up where we may."""
    host, _, port = address.removeprefix("amqp://").rstrip("/").rpartition(":")
    return Broker(name, host or "127.0.0.1", int(port), pid=_listener(int(port)), log=log)


def raise_file_limit() -> int:
    """Lift RLIMIT_NOFILE to its hard limit, for us and for what we start; return it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def _first_line(process: subprocess.Popen[str], timeout_s: float) -> str:
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        return process.stdout.readline() if selector.select(timeout_s) else ""


def _family(pid: int) -> list[int]:
    """Return the process and all that descend from it."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            found += [int(child) for child in task.read_text().split()]
    return found


def _rss_kib(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return 0


def _listener(port: int) -> int | None:
    """Return the pid that listens on a local TCP port, if /proc shows it to us."""
    sockets = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            rows = [row.split() for row in Path(table).read_text().splitlines()[1:]]
            sockets |= {
                f"socket:[{row[9]}]"
                for row in rows
                if row[3] == LISTEN_STATE and int(row[1].rpartition(":")[2], 16) == port
            }
    for entry in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if os.readlink(entry) in sockets:
                return int(entry.parts[2])
    return None
