"""Memory goes back once many connections have gone; the collector keeps calm."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING

import pytest

from amqpbroker import memory
from amqpbroker.memory import (
    CONNECTION_COUNT,
    GC_THRESHOLDS,
    TRIM_CHECKS,
    MemoryReturner,
    calm_collector,
    collector_spared,
    pause_collector,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def _collector() -> Iterator[None]:
    """Have the collector afterwards as it was before."""
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()
    gc.enable()


def returned(*counts: int) -> list[bool]:
    """Return for each number of connections whether memory was given back at it."""
    calls: list[None] = []
    returner = MemoryReturner(lambda: calls.append(None))
    outcome = []
    for count in counts:
        before = len(calls)
        returner.check(count)
        outcome.append(len(calls) > before)
    return outcome


def test_many_connections_less_are_worth_it() -> None:
    assert returned(CONNECTION_COUNT, 1, 1) == [False, False, False]
    assert returned(CONNECTION_COUNT, 0, 0) == [False, False, True]


def test_it_waits_until_no_more_are_going() -> None:
    count = CONNECTION_COUNT
    assert returned(3 * count, 2 * count, count, count) == [False, False, False, True]
    assert returned(3 * count, 2 * count, 2 * count) == [False, False, True]


def test_it_is_done_once() -> None:
    count = CONNECTION_COUNT
    assert returned(count, 0, 0, 0) == [False, False, True, False]
    assert returned(count, 0, 0, count, 0, 0) == [False, False, True, False, False, True]


def test_it_counts_from_the_most_there_were() -> None:
    count = CONNECTION_COUNT
    assert returned(2 * count, count + 1, count + 1, count, count)[-2:] == [False, True]


def test_whatever_else_was_freed_is_trimmed_now_and_then() -> None:
    calls: list[None] = []
    returner = MemoryReturner(lambda: None, lambda: calls.append(None))
    for _ in range(2 * TRIM_CHECKS + 1):
        returner.check(0)
    assert len(calls) == 2


def test_giving_back_works_or_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    memory.give_back()
    monkeypatch.setattr(sys, "platform", "darwin")
    memory.give_back()


@pytest.mark.usefixtures("_collector")
def test_the_collector_spares_what_is_here_and_looks_seldom() -> None:
    calm_collector()
    assert gc.get_freeze_count() > 1000
    assert gc.get_threshold() == GC_THRESHOLDS


@pytest.mark.usefixtures("_collector")
def test_nothing_is_collected_while_the_broker_starts() -> None:
    pause_collector()
    assert not gc.isenabled()
    calm_collector()
    assert gc.isenabled()


@pytest.mark.usefixtures("_collector")
def test_what_is_made_at_once_and_stays_is_not_looked_at() -> None:
    calm_collector()
    frozen = gc.get_freeze_count()
    with collector_spared():
        assert not gc.isenabled()
        made: list[list[int]] = [[] for _ in range(2 * GC_THRESHOLDS[0])]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= frozen + len(made)


@pytest.mark.usefixtures("_collector")
def test_little_is_left_to_the_collector() -> None:
    calm_collector()
    frozen = gc.get_freeze_count()
    with collector_spared():
        pass
    assert gc.isenabled()
    assert gc.get_freeze_count() <= frozen


def test_the_collector_of_another_program_is_left_alone() -> None:
    with collector_spared():
        assert gc.isenabled()
