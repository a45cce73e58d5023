"""A million idle durable queues: what they cost, how fast they come, and who notices."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from interop.edges.broker import start_amqpbroker
from interop.edges.stage import Row, Stage
from interop.scale.client import DeclareClient

if TYPE_CHECKING:
    from pathlib import Path

    from interop.edges.broker import Broker

COUNT: Final = 1_000_000
COMPARED_COUNT: Final = 20_000
"""Queues whose declares are timed on both brokers, each one waiting for its answer."""
WINDOW: Final = 1000
"""Unanswered declares, where they do not wait for each other."""
BYTES_MAX: Final = 2048
RATIO_MIN: Final = 4.0
READY_S_MAX: Final = 60.0
HELD_S: Final = 5.0


def run(folder: Path, scale: float, oracle: Broker | None) -> list[Row]:
    """Run the scenario with its data in ``folder``; ``oracle`` is what to compare with."""
    count, compared_count = round(COUNT * scale), round(COMPARED_COUNT * scale)
    broker = start_amqpbroker(folder)
    stage = Stage(broker)
    try:
        ours = declare_rates(broker, compared_count)
        theirs = declare_rates(oracle, compared_count) if oracle else None
        stage.rows += compare_rates(ours, theirs)
        asyncio.run(_declare_all(stage, count))
        broker.kill()
        broker.discard_log()
        broker = start_amqpbroker(folder, timeout_s=5 * READY_S_MAX)
        ready_s = broker.ready_s or 0.0
        measured = f"{ready_s:.1f} s, {broker.rss_mib() or 0:.0f} MiB"
        limit = f"≤ {READY_S_MAX:g} s"
        stage.add("restart after kill -9, to ready", measured, limit, ready_s <= READY_S_MAX)
    finally:
        broker.stop()
        broker.discard_log()
    return stage.rows


def declare_rates(broker: Broker, count: int) -> tuple[float, float]:
    """Return declares per second, one by one and with many unanswered."""
    rates = []
    with DeclareClient(broker) as client:
        for window in (1, WINDOW):
            names = [f"scale-{window}-{number}" for number in range(count)]
            started = time.perf_counter()
            client.declare(names, window)
            rates.append(count / (time.perf_counter() - started))
            client.delete(names)
    return rates[0], rates[1]


def compare_rates(ours: tuple[float, float], theirs: tuple[float, float] | None) -> list[Row]:
    """Return the rows for what `declare_rates` gave."""
    rows = []
    for index, what in enumerate(("one by one", f"{WINDOW} unanswered")):
        measured, limit, ok = f"{ours[index]:.0f}/s", "", None
        if theirs is not None:
            ratio = ours[index] / theirs[index]
            measured += f", theirs {theirs[index]:.0f}/s (x{ratio:.1f})"
            limit, ok = f"≥ x{RATIO_MIN:g}", ratio >= RATIO_MIN
        rows.append(Row(f"declares, {what}", measured, limit, ok))
    return rows


async def _declare_all(stage: Stage, count: int) -> None:
    def declare() -> None:
        with DeclareClient(stage.broker) as client:
            client.declare((f"queue-{number:07}" for number in range(count)), WINDOW)

    await stage.start_probe()
    before = stage.usage()
    started = time.perf_counter()
    with stage.phase("declaring", is_limited=False):
        await asyncio.to_thread(declare)
    rate = count / (time.perf_counter() - started)
    size = (stage.usage().rss_mib - before.rss_mib) * 2**20 / count
    stage.add(f"{count} queues declared", f"{rate:.0f}/s")
    stage.add("memory of each", f"{size:.0f} bytes", f"≤ {BYTES_MAX}", size <= BYTES_MAX)
    with stage.phase(f"{count} idle queues"):
        await asyncio.sleep(HELD_S)
    await stage.stop_probe()
