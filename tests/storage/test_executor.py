"""Jobs in the writer thread, and jobs in place."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import TYPE_CHECKING

import anyio
import pytest

from amqpbroker.storage.executor import Executor, InlineExecutor, SharedExecutor, ThreadExecutor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture(params=[ThreadExecutor, InlineExecutor])
async def executor(request: pytest.FixtureRequest) -> AsyncIterator[Executor]:
    executor: Executor = request.param()
    yield executor
    executor.close()


async def test_a_job_returns_its_result(executor: Executor) -> None:
    assert await executor.write(lambda: 1) == 1
    assert await executor.read(lambda: 2) == 2


async def test_a_job_raises_its_error(executor: Executor) -> None:
    for run in (executor.write, executor.read):
        with pytest.raises(ZeroDivisionError):
            await run(lambda: 1 // 0)
    assert await executor.write(lambda: 1) == 1


async def test_writing_jobs_keep_their_order(executor: Executor) -> None:
    done: list[int] = []
    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(executor.write, lambda number=number: done.append(number))
    assert done == list(range(20))


async def test_a_cancelled_caller_does_not_cancel_its_job(executor: Executor) -> None:
    done: list[int] = []
    with anyio.CancelScope() as scope:
        scope.cancel()
        await executor.write(lambda: done.append(1))
    await executor.write(lambda: done.append(2))
    assert done == [1, 2]


async def test_a_natively_cancelled_task_does_not_cancel_its_job() -> None:
    executor = ThreadExecutor()
    may_go, done = threading.Event(), threading.Event()

    def job() -> None:
        may_go.wait(5)
        done.set()

    task = asyncio.create_task(executor.write(job))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    may_go.set()
    await executor.write(lambda: None)
    assert done.is_set()
    executor.close()


async def test_all_writing_happens_in_one_thread() -> None:
    executor = ThreadExecutor()
    threads = {await executor.write(threading.get_ident) for _ in range(5)}
    assert len(threads) == 1
    assert threading.get_ident() not in threads
    executor.close()
    executor.close()


async def test_the_idle_hook_is_called_again_after_the_seconds_it_says() -> None:
    executor = ThreadExecutor()
    answers = [0.001, 0.001, None]
    called = threading.Event()

    def idle() -> float | None:
        if len(answers) == 1:
            called.set()
            return answers[0]
        return answers.pop(0)

    executor.when_idle(idle)
    await executor.write(lambda: None)
    assert await anyio.to_thread.run_sync(called.wait, 5)
    executor.close()


def test_a_job_outlives_the_loop_that_wanted_it() -> None:
    executor = ThreadExecutor()
    done = threading.Event()

    async def main() -> None:
        task = asyncio.ensure_future(executor.write(done.set))
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(main())
    executor.close()
    assert done.is_set()


async def test_logs_that_share_a_thread_are_all_looked_after_until_they_close() -> None:
    thread = ThreadExecutor()
    shares = [SharedExecutor(thread), SharedExecutor(thread)]
    calls: list[int] = []
    called = threading.Event()

    def looks_after(number: int) -> float | None:
        calls.append(number)
        if {0, 1} <= set(calls):
            called.set()
        return None

    for number, share in enumerate(shares):
        share.when_idle(partial(looks_after, number))
    assert await shares[0].write(lambda: 1) == 1
    assert await shares[0].read(lambda: 2) == 2
    await anyio.to_thread.run_sync(called.wait, 5)
    shares[0].close()
    assert await shares[1].write(lambda: 3) == 3
    shares[1].close()
    thread.close()
    assert calls.count(1) >= calls.count(0)
