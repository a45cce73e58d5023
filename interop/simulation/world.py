"""One run: a broker that lives several times on one machine, clients, and the checks at the end.

::

    life 0   declare, act, crash   life 1   look, act, crash   …   act, stop, drain   look

All of it is one task tree in virtual time; the seed decides everything.
"""

from __future__ import annotations

from functools import partial
from random import Random
from typing import TYPE_CHECKING, Final

import anyio

from amqpbroker.broker.opening import Ground
from amqpbroker.config import Config
from amqpbroker.storage.catalog import CatalogError
from amqpbroker.storage.fake_disk import PowerCut
from amqpbroker.storage.log import Corrupt, LogError, LogMissing
from amqpbroker.storage.options import LogOptions
from amqpbroker.testing.in_process import InProcessBroker, in_process
from amqpbroker.testing.virtual_loop import START_S, virtual_clock
from interop.simulation import ending, faults
from interop.simulation.actor import Actor
from interop.simulation.client import FORCED, INTERNAL_ERROR, Connection, Lost
from interop.simulation.machine import Machine
from interop.simulation.model import Model
from interop.simulation.things import Message, Violation
from interop.simulation.topology import Topology

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from amqpbroker.broker.broker import Broker
    from amqpbroker.broker.journal import Journal
    from amqpbroker.testing.streams import MemoryStream
    from interop.simulation.faults import Plan
    from interop.simulation.things import Party

SEGMENT_SIZES: Final = (1024, 4096)
"""Drawn for each run."""
COMPACTION_INTERVAL_MS: Final = 100
MEMORY_LIMITS: Final = (None, None, 0, 200)
"""Bytes of bodies that stay in memory, None for all of them; drawn for each run."""
SPILL_RATIO: Final = 0.7
"""So often there is a disk for transient messages."""
BATCH_SIZES: Final = (30, 300, 3000)
"""After which the journal begins another batch; drawn for each run."""
LOOK_S: Final = 0.2
"""Between two looks at how a life goes."""


class World:
    """See the module."""

    def __init__(self, seed: int, *, trace: Callable[[str], None] | None = None) -> None:
        self.random = Random(seed)
        self.machine = Machine(seed, self.random)
        self.topology = Topology(self.random)
        self._clock = virtual_clock()
        self.now = self._clock.now
        self.model = Model(self.now, [own.spec for own in self.topology.own])
        self.life = 0
        self.violation: Violation | None = None
        self.defined: set[str] = set()
        """Names of what was declared and must be there after a restart."""
        self.connections: list[Connection] = []
        """Those that are open."""
        self.is_traced = trace is not None
        self._print = trace
        self._server: InProcessBroker | None = None
        self._open = anyio.Event()
        self._scope = anyio.CancelScope()
        self._segment_size = self.random.choice(SEGMENT_SIZES)
        self._batch_size = self.random.choice(BATCH_SIZES)
        # Of its own, so that what older seeds draw stays the same.
        memory_limit = Random(f"memory {seed}").choice(MEMORY_LIMITS)
        self._config = (
            Config(is_memory=True)
            if memory_limit is None
            else Config(is_memory=True, body_memory_limit=memory_limit)
        )
        self.machine.is_paging = memory_limit is not None
        self._spill_random = Random(f"spill {seed}")
        self._is_spilling = self._spill_random.random() < SPILL_RATIO
        self._serial = 0
        self._is_stopping = False

    # what connections have to say (client.Witness)

    def trace(self, text: str, *arguments: object) -> None:
        """Print what happens."""
        if self._print is not None:
            self._print(f"{self.now() - START_S:9.4f} {text % arguments}")

    def is_down(self) -> bool:
        """Whether the machine is off."""
        return self.machine.disk.is_off

    def accuse(self, violation: Violation) -> None:
        """The run is over."""
        if self.violation is None:
            self.trace("VIOLATION %s", violation)
            self.violation = violation
        self._scope.cancel()

    def complain(self, code: int, text: str) -> None:
        """The broker has closed something: that must have a reason."""
        is_expected = (code == FORCED and self._is_stopping) or (
            code == INTERNAL_ERROR and not self.machine.plan.is_harmless
        )
        if not is_expected and not text.startswith("PRECONDITION_FAILED - partial tx"):
            self.accuse(Violation(f"closed without need: {code} {text}"))

    def answered(self) -> None:
        """Something is durable, says the broker."""
        self.machine.answered()

    # what clients need

    def connection(self, name: str) -> Connection:
        """Return a connection to be opened."""
        connection = Connection(name, self.model, self, self._connect)
        self.connections = [item for item in self.connections if not item.is_over]
        self.connections.append(connection)
        return connection

    def _connect(self, on_data: Callable[[bytes], None]) -> MemoryStream:
        if self._server is None or self.is_down():
            raise Lost
        return self._server.connect(on_data)

    def message(self, party: Party, size: int, *, is_persistent: bool) -> Message:
        """Return a message that nobody else has."""
        self._serial += 1
        party.message_count += 1
        body = b"%d:" % self._serial + bytes((self._serial & 0xFF,)) * size
        return Message(party, party.message_count, body, is_persistent=is_persistent)

    async def until_open(self) -> None:
        """Return when clients may come."""
        await self._open.wait()

    @property
    def is_open(self) -> bool:
        """Whether clients may come."""
        return self._open.is_set()

    def let_in(self) -> None:
        """Let clients come."""
        self._open.set()

    def keep_out(self) -> None:
        """Let clients do nothing more."""
        self._open = anyio.Event()

    # the broker of this life

    @property
    def broker(self) -> Broker:
        """The broker itself."""
        assert self._server is not None
        return self._server.broker

    @property
    def journal(self) -> Journal:
        """Its journal."""
        assert self.broker.journal is not None
        return self.broker.journal

    # lives

    async def run(self) -> None:
        """Run everything; raises `Violation`, alone or in a group."""
        try:
            async with anyio.create_task_group() as tasks:
                self._scope = tasks.cancel_scope
                for number, own in enumerate(self.topology.own):
                    tasks.start_soon(Actor(self, f"a{number}", own).run)
                for _ in range(self.random.randint(1, 4)):
                    plan = faults.draw(self.random, is_first=self.life == 0)
                    faults.draw_spill(plan, self._spill_random)
                    await self._live(plan, self._act)
                last = faults.Plan(0, "power cut")
                await self._live(last, partial(ending.finish, self))
                await self._live(faults.Plan(0, "clean"), partial(ending.look, self))
                tasks.cancel_scope.cancel()
        finally:
            self.machine.database.discard()
        if self.violation is not None:
            raise self.violation

    async def _live(self, plan: Plan, act: Callable[[], Awaitable[None]]) -> None:
        self.trace("LIFE %d %s", self.life, plan)
        machine = self.machine
        machine.start(plan)
        options = LogOptions(
            segment_size=self._segment_size, now_ms=self._clock.wall_ms, monotonic=self.now
        )
        spill = machine.spill if self._is_spilling else None
        ground = Ground(machine.database, machine.disk, options, self._clock, machine, spill=spill)
        is_clean = False
        try:
            async with in_process(ground, self._config) as self._server:
                self.journal.batch_size = self._batch_size
                self.journal.compaction_interval_ms = COMPACTION_INTERVAL_MS
                await act()
                if plan.end != "clean" or self.is_down():
                    machine.crash("at the end")
                self._is_stopping = True
            is_clean = plan.is_harmless
        except* PowerCut as group:
            self.trace("CRASH %s", leaves(group)[0])
        except* (LogError, CatalogError) as group:
            self._judge(group)
        self._over(is_clean=is_clean)

    def _judge(self, group: BaseExceptionGroup[LogError | CatalogError]) -> None:
        """A broker may refuse to start on a broken disk, but not because of what it left there."""
        for error in leaves(group):
            self.trace("NOT STARTED %s", error)
            if self.machine.plan.is_harmless or isinstance(error, Corrupt | LogMissing):
                raise Violation(f"does not start: {error!r}") from error

    def _over(self, *, is_clean: bool) -> None:
        """The broker is gone; the machine starts again."""
        self.keep_out()
        self._server = None
        self._is_stopping = False
        for connection in self.connections:
            connection.lost()
        is_cut = self.machine.restart()
        self.trace("OVER %s", "clean" if is_clean else "power cut" if is_cut else "stopped")
        self.model.stop(is_clean=is_clean)
        self.life += 1

    async def _act(self) -> None:
        """Let clients act until it is time, or the broker is of no use any more."""
        try:
            await ending.define(self)
        except Lost:
            return
        self.let_in()
        start_s = self.now()
        while (life_s := self.now() - start_s) < self.machine.plan.duration_s:
            self.machine.fill(life_s)
            if self.journal.failure is not None:
                await anyio.sleep(self.random.random() * 0.3)
                return
            with anyio.move_on_after(LOOK_S):
                await self.machine.went_off.wait()
            if self.is_down():
                return


def leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    """Return the errors in a group of groups."""
    found: list[BaseException] = []
    for error in group.exceptions:
        found += leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
