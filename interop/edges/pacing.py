"""Load at a stated pace: open-loop, so that a slow broker meets the same demand as a fast one."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

OUTSTANDING_MAX = 64  # jobs in flight; beyond it the pace gives way instead of piling up

Item = TypeVar("Item")


async def ticks(rate: float, count: int) -> AsyncIterator[int]:
    """Yield 0 … count-1, `rate` times a second on average."""
    start = time.monotonic()
    for number in range(count):
        ahead = start + number / rate - time.monotonic()
        await asyncio.sleep(max(0.0, ahead))
        yield number


async def at_pace(
    rate: float, items: Iterable[Item], job: Callable[[Item], Awaitable[None]]
) -> float:
    """Start `job(item)` `rate` times a second, wait for all, return jobs done per second.

    Raises:
        ExceptionGroup: with the first jobs that failed.
    """
    todo = list(items)
    room = asyncio.Semaphore(OUTSTANDING_MAX)

    async def one(item: Item) -> None:
        try:
            await job(item)
        finally:
            room.release()

    started = time.monotonic()
    async with asyncio.TaskGroup() as group:
        async for number in ticks(rate, len(todo)):
            await room.acquire()
            group.create_task(one(todo[number]))
    return len(todo) / (time.monotonic() - started)
