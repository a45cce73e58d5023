"""Running seeds: one, or very many."""

from __future__ import annotations

import gc
import logging
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING, Final, NamedTuple
from unittest.mock import patch

from amqpbroker.broker import session
from amqpbroker.testing.virtual_loop import Deadlock, run
from interop.simulation.things import Violation
from interop.simulation.world import World, leaves

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

CHUNK_COUNT: Final = 50
"""Seeds that a process is handed at a time."""
SMALL_BUFFERS: Final = partial(
    patch.multiple, session, OUTGOING_SIZE_MAX=3000, OUTGOING_STOP_SIZE=6000
)
"""So that a client who does not read soon holds up its consumers, and then itself."""


class Result(NamedTuple):
    """How a run went; ``failure`` says what went wrong, on one line."""

    seed: int
    failure: str | None = None
    delivered_count: int = 0
    lives: int = 0


async def _run(seed: int, trace: Callable[[str], None] | None) -> Result:
    world = World(seed, trace=trace)
    failure = None
    try:
        await world.run()
    except BaseExceptionGroup as group:
        failure = str(world.violation or _explained(group))
    except Violation as violation:
        failure = str(violation)
    return Result(seed, failure, world.model.delivered_count, world.life)


def _explained(group: BaseExceptionGroup[BaseException]) -> str:
    """Return the violation in a group, or else where its first error comes from."""
    error: BaseException = group
    violations = group.subgroup(Violation)
    if violations is not None:
        error = violations
    if isinstance(error, BaseExceptionGroup):
        error = leaves(error)[0]
    if isinstance(error, Violation):
        return str(error)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{error!r} in {frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}"


def run_seed(seed: int, trace: Callable[[str], None] | None = None) -> Result:
    """Run one seed; ``trace`` gets a line for everything that happens."""
    try:
        with SMALL_BUFFERS():
            return run(_run, seed, trace)
    except Deadlock as error:
        return Result(seed, str(error))


def _run_chunk(seeds: range) -> list[Result]:
    logging.disable()
    gc.collect()
    gc.disable()  # a run leaves little behind
    return [run_seed(seed) for seed in seeds]


def run_seeds(seeds: range, job_count: int) -> Iterator[Result]:
    """Run seeds in processes, the results in order."""
    chunks = [
        range(start, min(start + CHUNK_COUNT, seeds.stop))
        for start in range(seeds.start, seeds.stop, CHUNK_COUNT)
    ]
    if job_count == 1:
        yield from _flat(map(_run_chunk, chunks))
        return
    with ProcessPoolExecutor(job_count, mp_context=get_context("spawn")) as pool:
        yield from _flat(pool.map(_run_chunk, chunks))


def _flat(chunks: Iterable[list[Result]]) -> Iterator[Result]:
    for chunk in chunks:
        yield from chunk


def run_for(first_seed: int, count_max: int, limit_s: float) -> Iterator[Result]:
    """Run seeds one after the other for some seconds, but ``count_max`` at most."""
    stop_at = time.monotonic() + limit_s
    for seed in range(first_seed, first_seed + count_max):
        if time.monotonic() > stop_at:
            return
        yield run_seed(seed)
