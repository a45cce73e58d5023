"""Time jumps, order stays, and a program that nobody can wake ends."""

from __future__ import annotations

import asyncio
import time

import anyio
import pytest

from amqpbroker.testing.virtual_loop import EPOCH_MS, START_S, Deadlock, run, virtual_clock


def test_a_long_sleep_takes_no_time() -> None:
    async def sleep() -> float:
        await anyio.sleep(86_400)
        return anyio.current_time()

    before = time.monotonic()
    assert run(sleep) == START_S + 86_400
    assert time.monotonic() - before < 5


def test_sleepers_wake_in_the_order_of_their_deadlines() -> None:
    woken = []

    async def sleep(delay_s: float) -> None:
        await anyio.sleep(delay_s)
        woken.append((delay_s, anyio.current_time() - START_S))

    async def sleep_all() -> None:
        async with anyio.create_task_group() as tasks:
            for delay_s in (3, 1, 2):
                tasks.start_soon(sleep, delay_s)

    run(sleep_all)
    assert woken == [(1, 1), (2, 2), (3, 3)]


def test_a_timeout_comes_when_it_is_due() -> None:
    async def wait() -> float:
        with anyio.move_on_after(7):
            await anyio.Event().wait()
        return anyio.current_time()

    assert run(wait) == START_S + 7


def test_who_waits_for_ever_is_told() -> None:
    with pytest.raises(Deadlock):
        run(anyio.Event().wait)


def test_the_clock_of_a_broker_follows() -> None:
    async def read() -> tuple[float, int]:
        clock = virtual_clock()
        await anyio.sleep(2.5)
        return clock.now(), clock.wall_ms()

    assert run(read) == (START_S + 2.5, EPOCH_MS + 1_002_500)


def test_results_and_errors_come_through() -> None:
    async def fail(error: Exception) -> None:
        await asyncio.sleep(1)
        raise error

    with pytest.raises(KeyError):
        run(fail, KeyError())
