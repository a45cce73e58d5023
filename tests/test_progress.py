"""Progress is shown to whoever waits, and only then."""

from __future__ import annotations

import logging

import pytest

from amqpbroker.progress import LOG_INTERVAL_S, PATIENCE_S, WorkProgress
from tests.broker.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_short_work_shows_nothing(
    clock: Clock, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    for is_terminal in (False, True):
        progress = WorkProgress("work", "pieces", clock, is_terminal)
        for done in range(11):
            progress.update(done, 10)
            clock.now += PATIENCE_S / 20
    assert lines(caplog) == []
    assert capsys.readouterr().err == ""


def test_where_nobody_watches_the_log_says_how_far_it_is(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    progress = WorkProgress("work", "pieces", clock, is_terminal=False)
    for done in range(13):
        progress.update(done, 12)
        clock.now += LOG_INTERVAL_S / 4
    assert lines(caplog) == [f"work: {n} of 12 pieces" for n in (4, 8, 12)]


def test_a_terminal_gets_a_bar_that_goes_away(clock: Clock) -> None:
    progress = WorkProgress("work", "pieces", clock, is_terminal=True)
    progress.update(0, 10)
    clock.now += PATIENCE_S
    progress.update(5, 10)
    assert progress._bar is not None
    assert progress._bar.tasks[0].completed == 5
    progress.update(10, 10)
    assert progress._bar.finished
    assert not progress._bar.live.is_started
