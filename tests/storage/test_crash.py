"""Power cuts, kills, failing writes and full disks at every operation, against a model."""

from __future__ import annotations

import errno
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amqpbroker.storage.fake_disk import FakeDisk, PowerCut
from tests.storage.model import Driver, Step, with_policy

if TYPE_CHECKING:
    from amqpbroker.storage.options import FsyncPolicy

APPENDS: list[Step] = [("append", 200)] * 3
SCRIPT: list[Step] = [
    *APPENDS, *APPENDS, ("drop", 1), *APPENDS, ("trim", 40), ("append", 900), ("fence", 0),
    ("append", 3), ("reopen", 0), *APPENDS, ("drop", 2), ("reopen", 1), ("append", 10),
]  # fmt: skip

steps = st.one_of(
    st.tuples(st.just("append"), st.integers(0, 400)),
    st.tuples(st.just("append"), st.integers(0, 400)),
    st.tuples(st.just("append"), st.integers(0, 1500)),
    st.tuples(st.sampled_from(["trim", "drop"]), st.integers(0, 100)),
    st.tuples(st.sampled_from(["fence", "reopen"]), st.integers(0, 1)),
)
scripts = st.lists(steps, min_size=1, max_size=25)
seeds = st.integers(0, 2**32)


def test_the_script_runs_without_faults() -> None:
    driver = Driver(FakeDisk())
    driver.run(SCRIPT)
    driver.check()
    assert len(driver.acked) > 20
    assert driver.deletable


@pytest.mark.parametrize("power_cut", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_a_stop_at_any_operation_loses_nothing_acknowledged(power_cut: bool, seed: int) -> None:
    for operation in count():
        driver = Driver(FakeDisk(seed * 1000 + operation))
        driver.disk.cut_power_at = operation
        try:
            driver.run(SCRIPT)
        except PowerCut:
            driver.crash(power_cut=power_cut)
            driver.check()
            driver.run(APPENDS)
            driver.check()
        else:
            assert operation > 100
            return


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("power_cut", [False, True])
def test_a_failure_of_any_operation_loses_nothing_acknowledged(code: int, power_cut: bool) -> None:
    for operation in count():
        driver = Driver(FakeDisk(operation))
        driver.disk.faults[operation] = code
        driver.run(SCRIPT)
        if driver.disk.operations <= operation:
            assert operation > 100
            return
        driver.crash(power_cut=power_cut)
        driver.check()
        driver.run(APPENDS)
        driver.check()


@pytest.mark.parametrize("policy", ["interval", "never"])
@pytest.mark.parametrize("power_cut", [False, True])
def test_a_weaker_policy_loses_only_an_end_and_nothing_to_a_kill(
    policy: FsyncPolicy, power_cut: bool
) -> None:
    for operation in count():
        driver = Driver(FakeDisk(operation), with_policy(policy))
        driver.disk.cut_power_at = operation
        try:
            driver.run(SCRIPT)
        except PowerCut:
            acked = len(driver.acked)
            driver.crash(power_cut=power_cut)
            driver.check()
            assert power_cut or len(driver.acked) >= acked
            driver.run(APPENDS)
            driver.check()
        else:
            return


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scripts, seeds, st.data())
def test_any_history_survives_a_cut_and_failures_before(
    script: list[Step], seed: int, draw: st.DataObject
) -> None:
    rehearsal = Driver(FakeDisk(seed))
    rehearsal.run(script)
    operations = st.integers(0, rehearsal.disk.operations)
    driver = Driver(FakeDisk(seed))
    driver.disk.faults = draw.draw(
        st.dictionaries(operations, st.sampled_from([errno.EIO, errno.ENOSPC]), max_size=4)
    )
    driver.disk.cut_power_at = draw.draw(operations)
    for power_cut in (True, False, True, True):
        with suppress(PowerCut):
            driver.run(script)
        driver.crash(power_cut=power_cut)
        driver.disk.cut_power_at = driver.disk.operations + draw.draw(operations)
    driver.disk.cut_power_at = None
    driver.check()
    driver.run(APPENDS)
    driver.check()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scripts, seeds, st.integers(1000, 6000))
def test_a_full_disk_rejects_and_recovers(script: list[Step], seed: int, capacity: int) -> None:
    driver = Driver(FakeDisk(seed))
    driver.run(APPENDS)
    driver.disk.capacity = capacity
    driver.run(script)
    driver.crash(power_cut=True)
    driver.check()
    driver.disk.capacity = None
    driver.run([("fence", 0), *APPENDS])
    assert len(driver.acked) >= len(APPENDS)
    driver.check()
