"""Timers: calls when they are due, in order, by a clock that the test sets."""

from __future__ import annotations

from functools import partial

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.broker.timers import CANCELLED_COUNT_MIN, Timers
from tests.broker.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timers(clock: Clock) -> Timers:
    return Timers(now=clock)


def test_calls_come_when_they_are_due_and_in_order(timers: Timers, clock: Clock) -> None:
    calls: list[str] = []
    for deadline, name in ((3, "c"), (1, "a"), (2, "b"), (1, "a2")):
        timers.call_at(deadline, partial(calls.append, name))
    assert timers.fire() == 1
    clock.now = 2
    assert timers.fire() == 3
    assert calls == ["a", "a2", "b"]
    clock.now = 100
    assert timers.fire() is None
    assert calls[3:] == ["c"]


def test_a_delay_counts_from_now(timers: Timers, clock: Clock) -> None:
    clock.now = 10
    assert timers.call_later(2.5, lambda: None).deadline == 12.5


def test_a_cancelled_call_is_not_made(timers: Timers, clock: Clock) -> None:
    timer = timers.call_at(1, lambda: pytest.fail("was cancelled"))
    timer.cancel()
    timer.cancel()
    assert len(timers) == 0
    clock.now = 1
    assert timers.fire() is None
    timer.cancel()
    assert len(timers) == 0


def test_a_call_may_cancel_another_that_is_due(timers: Timers, clock: Clock) -> None:
    timers.call_at(1, lambda: other.cancel())
    other = timers.call_at(1, lambda: pytest.fail("was cancelled"))
    clock.now = 1
    timers.fire()
    assert len(timers) == 0


def test_a_call_that_asks_for_another_at_once_gets_it_in_the_next_round(
    timers: Timers, clock: Clock
) -> None:
    calls: list[int] = []

    def again() -> None:
        calls.append(1)
        timers.call_at(clock.now, again)

    timers.call_at(0, again)
    assert timers.fire() == 0
    assert len(calls) == 1


def test_a_call_that_fails_does_not_stop_the_others(
    timers: Timers, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[int] = []

    def fail() -> None:
        raise ZeroDivisionError

    timers.call_at(0, fail)
    timers.call_at(0, lambda: calls.append(1))
    timers.fire()
    assert calls == [1]
    assert "ZeroDivisionError" in caplog.text


def test_a_round_with_calls_ends_with_a_flush(clock: Clock) -> None:
    flushes: list[int] = []
    timers = Timers(lambda: flushes.append(1), clock)
    timers.call_at(1, lambda: None)
    timers.fire()
    assert not flushes
    clock.now = 1
    timers.fire()
    assert flushes == [1]


def test_cancelled_timers_do_not_pile_up(timers: Timers) -> None:
    for number in range(1000):
        timers.call_at(number, lambda: None).cancel()
    assert len(timers) == 0
    assert len(timers._heap) <= CANCELLED_COUNT_MIN + 1


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans(), st.integers(0, 9))))
def test_every_timer_is_called_once_unless_cancelled(
    steps: list[tuple[int, bool, int]],
) -> None:
    clock = Clock()
    timers = Timers(now=clock)
    calls: list[tuple[float, int]] = []
    expected = []
    for number, (deadline, is_cancelled, cancelled_at) in enumerate(steps):
        timer = timers.call_at(deadline, partial(calls.append, (deadline, number)))
        if is_cancelled:
            timers.call_at(cancelled_at, timer.cancel)
        if not is_cancelled or cancelled_at >= deadline:
            expected.append((deadline, number))
    for clock.now in range(10):
        while (due := timers.fire()) is not None and due <= clock.now:
            pass
    assert calls == sorted(expected)
    assert len(timers) == 0


@pytest.mark.anyio
async def test_an_earlier_deadline_wakes_the_task() -> None:
    calls: list[str] = []
    done = anyio.Event()
    timers = Timers()
    timers.call_later(3600, lambda: calls.append("late"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(timers.run)
        await anyio.wait_all_tasks_blocked()
        timers.call_later(0.01, done.set)
        with anyio.fail_after(5):
            await done.wait()
        tasks.cancel_scope.cancel()
    assert calls == []


@pytest.mark.anyio
async def test_a_task_without_timers_waits_for_the_first() -> None:
    done = anyio.Event()
    timers = Timers()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(timers.run)
        await anyio.wait_all_tasks_blocked()
        timers.call_later(0, done.set)
        with anyio.fail_after(5):
            await done.wait()
        tasks.cancel_scope.cancel()
