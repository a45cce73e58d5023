"""Rounds of load and kill -9 on the same data, with a comparison after each restart."""

from __future__ import annotations

import asyncio
import logging
from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple

from interop.crash.history import History
from interop.crash.load import Load, contents, declare
from interop.crash.process import BrokerProcess
from interop.crash.transient import check_gone

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LOAD_S: Final = (0.1, 1.2)
"""How long a round lasts, at random between these."""
PROGRESS_COUNT: Final = 10
"""Rounds between two signs of life."""
STOP_RATIO: Final = 0.1
"""Share of the rounds that end in good order, with SIGTERM."""


class Summary(NamedTuple):
    """What all rounds came to."""

    rounds: int
    counts: dict[str, int]
    problems: list[str]
    slowest_start_s: float

    def __str__(self) -> str:
        counts = self.counts
        return (
            f"{self.rounds} rounds: {counts.get('confirmed', 0)} confirmed, "
            f"{counts.get('lost', 0)} lost; {counts.get('settled', 0)} settled for sure, "
            f"{counts.get('back', 0)} back; {counts.get('delivered', 0)} delivered; "
            f"{counts.get('transient', 0)} transient; "
            f"slowest start {self.slowest_start_s:.1f} s; {len(self.problems)} problems"
        )


def play(
    data_dir: Path,
    rounds: int,
    seed: int,
    settings: Mapping[str, str],
) -> Summary:
    """Play rounds on a directory; problems are reported as they are found."""
    # The transport says so each time it writes to a broker that has just been killed.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    random = Random(seed)
    history = History()
    numbers: dict[str, int] = {}
    slowest = 0.0
    for number in range(1, rounds + 1):
        broker = BrokerProcess(data_dir, settings)
        slowest = max(slowest, broker.ready_s)
        load = Load(history, numbers, random)
        known = len(history.problems)
        ends_well = random.random() < STOP_RATIO
        asyncio.run(_play_round(broker, load, history, random.uniform(*LOAD_S), ends_well))
        if number % PROGRESS_COUNT == 0:
            print(f"{number} of {rounds} rounds", flush=True)
        for problem in history.problems[known:]:
            print(f"round {number} of seed {seed}: {problem}")
    broker = BrokerProcess(data_dir, settings)
    history.compare(asyncio.run(contents(broker.port)))
    if broker.stop() != 0:
        history.problems.append("the exit code on SIGTERM is not 0")
    return Summary(rounds, dict(history.counts), history.problems, slowest)


async def _play_round(
    broker: BrokerProcess, load: Load, history: History, duration_s: float, ends_well: bool
) -> None:
    await declare(broker.port)
    await check_gone(broker.port, history)
    history.compare(await contents(broker.port))
    running = asyncio.create_task(load.run(broker.port))
    await asyncio.wait([running], timeout=duration_s)
    if running.done():
        history.problems.append(f"the broker hung up by itself: {broker.log()[-500:]}")
    if ends_well:
        code = await asyncio.to_thread(broker.stop)
        if code != 0:
            history.problems.append(f"the exit code on SIGTERM is {code}")
    else:
        broker.kill()
    await running
