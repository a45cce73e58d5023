"""What every scenario stands on: the broker, the probe, named phases, rows of results.

A scenario marks phases (`with stage.phase("opening")`); when it is over, the probe's samples
are cut by these phases, and the median of each must be at most LATENCY_RATIO_MAX times the
median of the idle phase. Memory and file descriptors must come back after everything closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from interop.edges.client import Client, connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interop.edges.broker import Broker

LATENCY_RATIO_MAX = 2.0
STALL_MS_MAX = 250.0  # no probe message may ever wait longer, whatever the load
IDLE_S = 3.0
MEMORY_BACK_MIB = 10.0
MEMORY_BACK_SHARE = 0.10
BACK_TIMEOUT_S = 20.0
FILES_BACK = 5


@dataclass
class Row:
    """One line of the table; `ok` is None where there is no limit."""

    what: str
    measured: str
    limit: str = ""
    ok: bool | None = None


@dataclass
class Phase:
    """A stretch of time on the monotonic clock, in seconds."""

    name: str
    start: float
    stop: float = 0.0
    is_limited: bool = True  # else the median is only told, and stalls are limited


@dataclass
class Usage:
    """What the broker's process held at one moment."""

    rss_mib: float
    files: int


@dataclass
class Stage:
    """One scenario's run. `scale` shrinks its counts for a quick look."""

    broker: Broker
    scale: float = 1.0
    rows: list[Row] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)
    _probe: subprocess.Popen[str] | None = None

    def count(self, full: int) -> int:
        """Return `full` at the chosen scale, at least 1."""
        return max(1, round(full * self.scale))

    def add(self, what: str, measured: str, limit: str = "", ok: bool | None = None) -> None:
        """Add a line to the table."""
        self.rows.append(Row(what, measured, limit, ok))

    def usage(self) -> Usage:
        """Read the broker's memory and descriptors now; zeros where we cannot see them."""
        return Usage(self.broker.rss_mib() or 0.0, self.broker.file_count() or 0)

    async def connect(self, *args: Any, **options: Any) -> Client:
        """Open a connection to the broker with channel 1."""
        return await connect(self.broker.host, self.broker.port, *args, **options)

    @contextlib.contextmanager
    def phase(self, name: str, *, is_limited: bool = True) -> Iterator[Phase]:
        """Name what happens inside, for the latency table."""
        phase = Phase(name, time.monotonic(), is_limited=is_limited)
        yield phase
        phase.stop = time.monotonic()
        self.phases.append(phase)

    async def start_probe(self) -> None:
        """Start the probe and let it measure the idle broker."""
        address = [self.broker.host, str(self.broker.port)]
        self._probe = subprocess.Popen(  # noqa: ASYNC220 (it only forks)
            [sys.executable, "-m", "interop.edges.probe", *address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._probe.stdout is not None
        await asyncio.to_thread(self._probe.stdout.readline)
        await asyncio.sleep(1.0)  # first messages warm caches on both sides
        with self.phase("idle"):
            await asyncio.sleep(IDLE_S)

    async def stop_probe(self) -> None:
        """End the probe and add its rows."""
        with self.phase("idle again", is_limited=False):
            await asyncio.sleep(IDLE_S)
        assert self._probe is not None
        output, _ = await asyncio.to_thread(self._probe.communicate, "")
        report = json.loads(output.splitlines()[-1])
        self.add(
            "the probe's connection",
            report["error"] or "unharmed",
            "unharmed",
            report["error"] is None,
        )
        self._latency_rows(report["samples"])

    def _latency_rows(self, samples: list[tuple[float, float]]) -> None:
        per_phase = {
            phase.name: sorted(ms for at, ms in samples if phase.start <= at < phase.stop)
            for phase in self.phases
        }
        idle = statistics.median(per_phase["idle"]) if per_phase["idle"] else float("inf")
        for phase in self.phases:
            taken = per_phase[phase.name]
            if not taken:
                self.add(f"latency, {phase.name}", "too short to measure")
                continue
            median, p99 = statistics.median(taken), taken[int(len(taken) * 0.99)]
            measured = f"p50 {median:.2f}  p99 {p99:.2f}  max {taken[-1]:.1f} ms"
            if phase.name == "idle":
                self.add("latency, idle", measured)
                continue
            measured += f"  (p50 x{median / idle:.1f})"
            if phase.is_limited:
                ok = median <= LATENCY_RATIO_MAX * idle
                self.add(f"latency, {phase.name}", measured, f"p50 ≤ x{LATENCY_RATIO_MAX:g}", ok)
            else:
                ok = taken[-1] <= STALL_MS_MAX
                self.add(f"latency, {phase.name}", measured, f"max ≤ {STALL_MS_MAX:g} ms", ok)

    async def expect_back(self, before: Usage, what: str = "after closing") -> None:
        """Wait until memory and descriptors are back where they were, and say how near."""
        if not before.rss_mib:
            self.add(f"memory {what}", "unknown: cannot see the process")
            return
        allowed = before.rss_mib + max(MEMORY_BACK_MIB, MEMORY_BACK_SHARE * before.rss_mib)
        started = time.monotonic()
        while time.monotonic() - started < BACK_TIMEOUT_S:
            now = self.usage()
            if now.rss_mib <= allowed and now.files <= before.files + FILES_BACK:
                break
            await asyncio.sleep(0.2)
        took = time.monotonic() - started
        self.add(
            f"memory {what}",
            f"{before.rss_mib:.1f} → {now.rss_mib:.1f} MiB, {took:.1f} s",
            f"≤ {allowed:.1f} MiB",
            now.rss_mib <= allowed,
        )
        self.add(
            f"descriptors {what}",
            f"{before.files} → {now.files}",
            f"≤ {before.files + FILES_BACK}",
            now.files <= before.files + FILES_BACK,
        )
