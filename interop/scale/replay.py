"""A million messages in a stream, then half of them read from the middle on (FEATURES A11.5)."""

from __future__ import annotations

import re
import statistics
import subprocess
from typing import TYPE_CHECKING, Final, NamedTuple

from interop.bench.build import build_amqpload
from interop.edges.broker import start_amqpbroker
from interop.edges.stage import Row
from interop.scale.backlog import LoadFailed
from interop.scale.client import DeclareClient
from interop.scale.watch import peak_memory

if TYPE_CHECKING:
    from pathlib import Path

    from interop.edges.broker import Broker

COUNT: Final = 1_000_000
QUEUE: Final = "amqpbroker-scale-replay"
REPLAY_COUNT: Final = 3
"""Times; the median counts."""
FIRST_MS_MAX: Final = 500.0
GROWTH_MIB_MAX: Final = 64.0
"""However long the stream is, it is not in memory."""
TIMEOUT_S: Final = 1800.0


class Figures(NamedTuple):
    """What one broker did."""

    publish_rate: float
    replay_rate: float
    first_ms: float
    growth_mib: float


def run(folder: Path, scale: float, oracle: Broker | None) -> list[Row]:
    """Run the scenario with its data in ``folder``; ``oracle`` is what to compare with."""
    count = round(COUNT * scale)
    broker = start_amqpbroker(folder)
    try:
        ours = _measure(broker, count)
    finally:
        broker.stop()
        broker.discard_log()
    rows = rows_of(ours, "")
    if oracle is not None:
        with DeclareClient(oracle) as client:
            try:
                rows += rows_of(_measure(oracle, count), "theirs: ")
            finally:
                client.delete([QUEUE])
    return rows


def rows_of(figures: Figures, whose: str) -> list[Row]:
    """Return a row for each figure; limits are for our own."""
    rows = [
        Row(f"{whose}published, confirmed", f"{figures.publish_rate:.0f}/s"),
        Row(f"{whose}replayed from the middle", f"{figures.replay_rate:.0f}/s"),
        Row(f"{whose}first message after", f"{figures.first_ms:.1f} ms"),
        Row(f"{whose}memory grown by", f"{figures.growth_mib:.0f} MiB"),
    ]
    if not whose:
        rows[2].limit = f"≤ {FIRST_MS_MAX:g} ms"
        rows[2].ok = figures.first_ms <= FIRST_MS_MAX
        rows[3].limit = f"≤ {GROWTH_MIB_MAX:g} MiB"
        rows[3].ok = figures.growth_mib <= GROWTH_MIB_MAX
    return rows


def _measure(broker: Broker, count: int) -> Figures:
    before = broker.rss_mib() or 0.0
    with peak_memory(broker) as peak:
        published = _load(broker, ("fill", "persistent=1", "confirm=1000", f"n={count}"))
        half = count // 2
        reading = ("con", "autoack=0", "prefetch=1000", "multiack=100", f"n={half}")
        replays = [_load(broker, (*reading, f"offset={half}")) for _ in range(REPLAY_COUNT)]
    return Figures(
        published["pub_rate"],
        statistics.median(replay["con_rate"] for replay in replays),
        statistics.median(replay["first_ms"] for replay in replays),
        peak.rss_mib - before,
    )


def _load(broker: Broker, options: tuple[str, ...]) -> dict[str, float]:
    """Run amqpload; return the figures it prints by name."""
    command = [str(build_amqpload()), broker.host, str(broker.port), *options]
    command += [f"queue={QUEUE}", "qtype=stream", "durable=1", "purge=0"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    figures = {name: float(value) for name, value in re.findall(r"(\w+)=([\d.]+)", result.stdout)}
    if result.returncode or not figures:
        raise LoadFailed(f"{broker.name}: {result.stderr.strip() or result.stdout.strip()}")
    return figures
