"""Threads for logins: few at a time, and not those that others need."""

from __future__ import annotations

import threading

import anyio
from anyio import to_thread

from amqpbroker.auth.login_threads import THREAD_COUNT_MAX, run_in_login_thread
from tests.cycles import left_to_the_collector

LOGIN_COUNT = 60
"""More than there are threads of all kinds."""


async def test_a_result_and_an_error_come_back() -> None:
    assert await run_in_login_thread(divmod, 7, 2) == (3, 1)
    try:
        await run_in_login_thread(divmod, 7, 0)
    except ZeroDivisionError:
        return
    raise AssertionError("no error")


async def test_an_error_leaves_nothing_to_the_cycle_collector() -> None:
    class Refused(Exception):
        pass

    def refuse() -> None:
        raise Refused

    async def is_refused() -> bool:
        try:
            await run_in_login_thread(refuse)
        except Refused:
            return True
        return False

    with left_to_the_collector(Refused) as left:
        assert await is_refused()
        await run_in_login_thread(int)  # the thread lets go of its last job
    assert not left


async def test_many_logins_have_few_threads_and_leave_the_others_alone() -> None:
    lock, may_end = threading.Lock(), threading.Event()
    running = peak = 0

    def work() -> None:
        nonlocal running, peak
        with lock:
            running += 1
            peak = max(peak, running)
        assert may_end.wait(5)
        with lock:
            running -= 1

    async with anyio.create_task_group() as tasks:
        for _ in range(LOGIN_COUNT):
            tasks.start_soon(run_in_login_thread, work)
        await anyio.lowlevel.checkpoint()
        # Somebody else's file is read while all threads for logins are taken.
        assert await to_thread.run_sync(lambda: "read") == "read"
        may_end.set()
    assert peak <= THREAD_COUNT_MAX
    assert running == 0
