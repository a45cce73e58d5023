"""Run one scenario from start to stop, in the process that calls.

The load is niced after broker and probe have started: on a small machine it must not take
the CPU from what it loads.
"""

from __future__ import annotations

import asyncio
import os
import traceback
from typing import TYPE_CHECKING

import uvloop

from interop.edges.broker import attach, raise_file_limit, start_amqpbroker
from interop.edges.scenarios import SCENARIOS
from interop.edges.stage import Row, Stage

if TYPE_CHECKING:
    from pathlib import Path

NICENESS = 10


def run_scenario(name: str, url: str | None, log: Path | None, scale: float) -> list[Row]:
    """Run one scenario in this process and return its rows; a crash is a failed row."""
    raise_file_limit()
    broker = attach(url, log=log) if url else start_amqpbroker()
    stage = Stage(broker, scale)
    try:
        asyncio.Runner(loop_factory=uvloop.new_event_loop).run(_play(name, stage))
    except Exception as problem:
        traceback.print_exc()
        stage.add("the scenario ended", _first_cause(problem), "without error", False)
    finally:
        code = broker.stop()
    if code is not None:
        stage.add("exit code on SIGTERM", str(code), "0", code == 0)
        if all(row.ok is not False for row in stage.rows):
            broker.discard_log()
        else:
            stage.add("log kept", str(broker.log))
    return stage.rows


def _first_cause(problem: Exception) -> str:
    while isinstance(problem, ExceptionGroup):
        problem = problem.exceptions[0]
    return f"{type(problem).__name__}: {problem}"


async def _play(name: str, stage: Stage) -> None:
    await stage.start_probe()
    os.nice(NICENESS)
    try:
        await SCENARIOS[name](stage)
    finally:
        await stage.stop_probe()
