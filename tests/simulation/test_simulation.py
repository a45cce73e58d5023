"""Whole brokers that live and die on a failing disk: a short run of the simulation.

The long one: ``python -m interop.simulation --seeds 20000``. A seed that fails here is looked at
with ``python -m interop.simulation --seed N --trace``.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from interop.simulation.run import run_for, run_seed

if TYPE_CHECKING:
    import pytest

FIRST_SEED = 7_000_000
COUNT = 60
LIMIT_S = 15.0


def test_nothing_confirmed_is_lost_and_nothing_settled_comes_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL, "amqpbroker")
    results = list(run_for(FIRST_SEED, COUNT, LIMIT_S))
    assert [result for result in results if result.failure] == []
    assert len(results) > 3
    assert sum(result.delivered_count for result in results) > 20 * len(results)
    assert sum(result.lives for result in results) > 3 * len(results)


def test_a_seed_is_the_same_run_every_time() -> None:
    first: list[str] = []
    second: list[str] = []
    assert run_seed(FIRST_SEED, first.append) == run_seed(FIRST_SEED, second.append)
    assert first == second
    assert len(first) > 100
