"""Two million small persistent messages pile up, survive kill -9, and are drained."""

from __future__ import annotations

import re
import subprocess
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from interop.bench.build import build_amqpload
from interop.edges.broker import start_amqpbroker
from interop.edges.stage import Row
from interop.scale.client import DeclareClient
from interop.scale.watch import disk_mib, peak_memory

if TYPE_CHECKING:
    from pathlib import Path

    from interop.edges.broker import Broker

COUNT: Final = 2_000_000
QUEUE: Final = "amqpbroker-scale-backlog"
PUBLISH: Final = ("fill", "persistent=1", "confirm=1000")
DRAIN: Final = ("con", "autoack=0", "prefetch=1000", "multiack=100")
RATE: Final = re.compile(r"(?:pub|con)_rate=(\d+)")
TIMEOUT_S: Final = 1800.0
PUBLISH_RATIO_MIN: Final = 5.0
MEMORY_RATIO_MAX: Final = 0.5
DRAIN_RATIO_MIN: Final = 3.0
READY_S_MAX: Final = 15.0
DISK_MIB_MAX: Final = 64.0
"""Near zero: the segments that are in use, and the catalog."""
REST_S: Final = 3.0
"""After the drain, for what is reclaimed in the background."""


class LoadFailed(Exception):
    """amqpload did not get through; the message says why."""


class Figures(NamedTuple):
    """What one broker did; rates in messages per second."""

    publish_rate: float
    drain_rate: float
    peak_mib: float


def run(folder: Path, scale: float, oracle: Broker | None) -> list[Row]:
    """Run the scenario with its data in ``folder``; ``oracle`` is what to compare with."""
    count = round(COUNT * scale)
    broker = start_amqpbroker(folder)
    try:
        publish_rate, first_peak = _load(broker, count, PUBLISH)
        disk_full = disk_mib(folder)
        broker.kill()
        broker.discard_log()
        broker = start_amqpbroker(folder, timeout_s=5 * READY_S_MAX)
        ready_s = broker.ready_s or 0.0
        drain_rate, second_peak = _load(broker, count, DRAIN)
        time.sleep(REST_S)
        disk_drained = disk_mib(folder)
    finally:
        broker.stop()
        broker.discard_log()
    ours = Figures(publish_rate, drain_rate, max(first_peak, second_peak))
    return [
        *compare(ours, _oracle_figures(oracle, count) if oracle else None),
        Row(
            f"restart with {count} messages, to ready",
            f"{ready_s:.1f} s",
            f"≤ {READY_S_MAX:g} s",
            ready_s <= READY_S_MAX,
        ),
        Row(
            "disk, full and drained",
            f"{disk_full:.0f} → {disk_drained:.0f} MiB",
            f"≤ {DISK_MIB_MAX:g} MiB",
            disk_drained <= DISK_MIB_MAX,
        ),
    ]


def compare(ours: Figures, theirs: Figures | None) -> list[Row]:
    """Return a row for each figure, with the limit where there is something to compare with."""
    rows = []
    for name, what, unit, limit in (
        ("publish_rate", "published, confirmed", "/s", PUBLISH_RATIO_MIN),
        ("drain_rate", "drained", "/s", DRAIN_RATIO_MIN),
        ("peak_mib", "memory at its peak", " MiB", MEMORY_RATIO_MAX),
    ):
        own, is_rate = getattr(ours, name), name.endswith("_rate")
        row = Row(what, f"{own:.0f}{unit}")
        other = getattr(theirs, name, 0.0)
        if other:
            ratio = own / other
            row.measured += f", theirs {other:.0f}{unit} (x{ratio:.2f})"
            row.limit = f"{'≥' if is_rate else '≤'} x{limit:g}"
            row.ok = ratio >= limit if is_rate else ratio <= limit
        rows.append(row)
    return rows


def _oracle_figures(oracle: Broker, count: int) -> Figures:
    with DeclareClient(oracle) as client:
        try:
            publish_rate, first_peak = _load(oracle, count, PUBLISH)
            drain_rate, second_peak = _load(oracle, count, DRAIN)
        finally:
            client.delete([QUEUE])
    return Figures(publish_rate, drain_rate, max(first_peak, second_peak))


def _load(broker: Broker, count: int, options: tuple[str, ...]) -> tuple[float, float]:
    """Run amqpload; return messages per second and the broker's memory at its peak, in MiB."""
    command = [str(build_amqpload()), broker.host, str(broker.port), *options]
    command += [f"n={count}", f"queue={QUEUE}", "durable=1", "purge=0"]
    with peak_memory(broker) as peak:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    rate = RATE.search(result.stdout)
    if result.returncode or rate is None:
        raise LoadFailed(f"{broker.name}: {result.stderr.strip() or result.stdout.strip()}")
    return float(rate[1]), peak.rss_mib
