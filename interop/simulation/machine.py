"""The machine that brokers live on: its disks, what goes wrong with them, and how long they take.

It is the executor of the log too: each job takes some time before and after it is done, in which
everybody else goes on.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

import anyio
from anyio.lowlevel import checkpoint

from amqpbroker.storage.fake_disk import FakeDisk, PowerCut
from amqpbroker.testing.database import MemoryDatabase
from interop.simulation.faults import Plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

T = TypeVar("T")

LATENCY_S: Final = 0.004
"""Of one visit to the disk, on average."""
SPEED_FACTORS: Final = (0.3, 1, 1, 5)
"""How slow a disk is, drawn for each run."""
QUICK_RATIO: Final = 0.4
"""So often it takes no time."""
SLOW_RATIO: Final = 0.03
SLOW_FACTOR: Final = 30
"""So often it takes so much longer."""


class Machine:
    """See the module."""

    def __init__(self, seed: int, random: Random) -> None:
        self.disk = FakeDisk(seed)
        self.spill = FakeDisk(seed, "/spill")
        """Where transient messages go; of no use to the next life."""
        self.spill.on_power_cut = self._lose_power
        self.database = MemoryDatabase()
        self.database.before_commit = self._before_commit
        self.database.after_commit = self._after_commit
        self.plan = Plan(0)
        self._random = random
        self._log_latency_s = LATENCY_S * random.choice(SPEED_FACTORS)
        self._catalog_latency_s = LATENCY_S * random.choice(SPEED_FACTORS)
        self._commits_at_start = 0
        self._answers_left = 0
        self.is_paging = False
        """Whether reading goes on while the broker runs, so that it must take time."""
        self.went_off = anyio.Event()
        """Set by a crash that nobody has raised."""

    # a life

    def start(self, plan: Plan) -> None:
        """Have go wrong what is planned for the life that begins."""
        self.plan = plan
        now = self.disk.operations
        if plan.cut_at is not None:
            self.disk.cut_power_at = now + plan.cut_at
        self.disk.faults = {now + number: code for number, code in plan.faults.items()}
        now = self.spill.operations
        if plan.spill_cut_at is not None:
            self.spill.cut_power_at = now + plan.spill_cut_at
        self.spill.faults = {now + number: code for number, code in plan.spill_faults.items()}
        self.spill.capacity = plan.spill_capacity
        self.database.errors.extend(plan.commit_errors)
        self._commits_at_start = self.database.commit_count
        self._answers_left = plan.crash_at_answer
        self.went_off = anyio.Event()

    def answered(self) -> None:
        """The broker has just said that something is durable: a good time to crash.

        What it writes to others in the same go still leaves.
        """
        self._answers_left -= 1
        if not self._answers_left:
            asyncio.get_running_loop().call_later(0, self._switch_off, self.plan)

    def _switch_off(self, plan: Plan) -> None:
        if self.plan is plan:
            self.disk.is_off = True
            self.went_off.set()

    def crash(self, where: str) -> None:
        """Switch off."""
        self._lose_power()
        raise PowerCut(where)

    def _lose_power(self) -> None:
        self.disk.is_off = True

    def fill(self, life_s: float) -> None:
        """Fill the disk up, or free it again, ``life_s`` after the beginning."""
        plan = self.plan
        if not plan.full_from_s <= life_s < plan.full_until_s:
            self.disk.capacity = None
        elif self.disk.capacity is None:
            self.disk.capacity = self.disk.used() + plan.room_size

    def restart(self) -> bool:
        """Begin again; return whether what was not synced may be lost."""
        is_cut = self.disk.is_off and self.plan.end != "kill"
        self.disk.capacity = None
        self.disk.restart(power_cut=is_cut)
        self.spill.restart(power_cut=is_cut)
        self.database.restart(is_kept=self._random.random() < 0.5)
        return is_cut

    # time

    async def _pass_time(self, latency_s: float) -> None:
        draw = self._random.random()
        if draw < QUICK_RATIO:
            await checkpoint()
            return
        factor = SLOW_FACTOR if draw > 1 - SLOW_RATIO else 1
        await anyio.sleep(self._random.expovariate(1 / latency_s) * factor)

    async def write(self, job: Callable[[], T]) -> T:
        """See `storage.executor.Executor`."""
        await self._pass_time(self._log_latency_s)
        result = job()
        await self._pass_time(self._log_latency_s)
        return result

    async def read(self, job: Callable[[], T]) -> T:
        """See `storage.executor.Executor`."""
        if not self.is_paging:
            return job()
        await self._pass_time(self._log_latency_s)
        result = job()
        await self._pass_time(self._log_latency_s)
        return result

    def close(self) -> None:
        """See `storage.executor.Executor`."""

    async def _before_commit(self) -> None:
        await self._pass_time(self._catalog_latency_s)
        self.disk.must_be_on()
        plan = self.plan
        if plan.crash_at_commit == self._commit and not plan.is_commit_kept:
            self.crash("before a commit of the catalog")

    async def _after_commit(self) -> None:
        if self.plan.crash_at_commit == self._commit - 1 and self.plan.is_commit_kept:
            self.crash("after a commit of the catalog")
        await self._pass_time(self._catalog_latency_s)
        self.disk.must_be_on()

    @property
    def _commit(self) -> int:
        return self.database.commit_count - self._commits_at_start
