"""Durable queues, crashes at every operation of the disk, and a model that is a few dicts.

The model notes for each message with which commit it came to a queue and with which it left. When
the broker has crashed and started again, what had been committed must be so, what had not may be so
or not, and both halves of a transaction or a dead letter are so or neither.
"""

from __future__ import annotations

import errno
import math
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Final

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pamqp import commands

from amqpbroker.broker.bodies import in_memory
from amqpbroker.storage.fake_disk import FakeDisk, PowerCut
from tests.broker.durable import PERSISTENT, DurableBroker, fake_log

QUEUES: Final = ("a", "b", "dying")
DYING: Final = {"x-dead-letter-exchange": ("S", b""), "x-dead-letter-routing-key": ("S", b"a")}
NEVER: Final = math.inf
PLAIN, TX = 1, 2


@dataclass
class Stay:
    """A message in a queue."""

    came: float
    """The commit that carries it."""
    left: float = NEVER
    tied_to: tuple[str, bytes] | None = None
    """Where it went when it left: there it is exactly when it is here no more."""


class World:
    """The model and the broker side by side."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.disk = FakeDisk(seed)
        self.count = 0
        self.stays: dict[str, dict[bytes, Stay]] = {name: {} for name in QUEUES}
        self.unconfirmed: dict[int, set[tuple[str, bytes]]] = {}
        self.confirmed: set[tuple[str, bytes]] = set()
        self.held: dict[int, tuple[str, bytes]] = {}

    async def start(self) -> None:
        """Begin, or begin again after a crash."""
        log = await fake_log(self.disk)
        if not hasattr(self, "durable"):
            self.durable = DurableBroker(log)
        self.durable.log = log
        await self.durable.start()
        self.client = client = self.durable.connect(PLAIN, TX)
        client.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
        client.call(commands.Tx.Select(), commands.Tx.SelectOk, TX)
        for name in QUEUES:
            self._declare(name)
        self.unconfirmed.clear()
        self.held.clear()

    def _declare(self, name: str) -> None:
        self.client.declare(name, DYING if name == "dying" else None, durable=True)
        if name != "dying":
            self.client.bind(name, "amq.fanout")

    def _new_body(self) -> bytes:
        self.count += 1
        return b"%d" % self.count + bytes(self.random.choice((0, 0, 0, 200)))

    @property
    def _ticket(self) -> int:
        return self.durable.journal.ticket

    def _come(self, body: bytes, *queues: str) -> None:
        for name in queues:
            self.stays[name][body] = Stay(self._ticket)

    # steps

    def publish(self) -> None:
        """Publish to one queue."""
        name, body = self.random.choice(QUEUES), self._new_body()
        self.client.publish(name, body, header=PERSISTENT)
        self._note(body, name)

    def fan_out(self) -> None:
        """Publish to two queues."""
        body = self._new_body()
        self.client.publish("", body, exchange="amq.fanout", header=PERSISTENT)
        self._note(body, "a", "b")

    def _note(self, body: bytes, *queues: str) -> None:
        self._come(body, *queues)
        self.unconfirmed[len(self.unconfirmed) + 1] = {(name, body) for name in queues}

    def get(self) -> None:
        """Take a message, and settle it later or not."""
        name = self.random.choice(QUEUES)
        message = self.client.get(name, no_ack=False)
        if message is not None:
            self.held[message.tag] = name, message.body

    def settle(self) -> None:
        """Ack, drop or requeue a message that was taken."""
        if not self.held:
            return
        tag = self.random.choice(list(self.held))
        name, body = self.held.pop(tag)
        outcome = self.random.choice(("ack", "ack", "drop", "requeue"))
        if outcome == "ack":
            self.client.ack(tag)
        else:
            self.client.nack(tag, requeue=outcome == "requeue")
        stay = self.stays[name].get(body)
        if outcome != "requeue" and stay is not None:
            stay.left = self._ticket
            if outcome == "drop" and name == "dying":
                self._come(body, "a")
                stay.tied_to = "a", body

    def purge(self) -> None:
        """Drop what is ready in a queue."""
        name = self.random.choice(QUEUES)
        for body in self._found(name):
            self.stays[name][body].left = self._ticket
        self.client.queue(name).purge()

    def delete(self) -> None:
        """Delete a queue and declare it anew; that is stored at once."""
        name = self.random.choice(QUEUES)
        self.client.delete(name)
        self._declare(name)
        for stay in self.stays[name].values():
            stay.left = min(stay.left, -1)
            stay.tied_to = None
        self.held = {tag: item for tag, item in self.held.items() if item[0] != name}

    async def move(self) -> None:
        """Publish what was taken from one queue to another, in a transaction."""
        message = self.client.get("b", no_ack=False, channel=TX)
        if message is None:
            return
        body = self._new_body()
        self.client.publish("a", body, header=PERSISTENT, channel=TX)
        self.client.ack(message.tag, channel=TX)
        self.stays["b"][message.body].left = self._ticket
        self.stays["b"][message.body].tied_to = "a", body
        self._come(body, "a")
        await self.durable.call(self.client, commands.Tx.Commit(), TX)
        if self.durable.journal.failure is None:
            self.client.read(commands.Tx.CommitOk, TX)
        else:
            told = [self.client.read_frame(0).command]
            if isinstance(told[0], commands.Connection.Blocked):  # it waited for confirms, too
                told.append(self.client.read_frame(0).command)
            assert isinstance(told[-1], commands.Connection.Close)
            assert told[-1].reply_code == 541
        self._read_confirms()

    async def commit(self) -> None:
        """Write what is staged."""
        try:
            await self.durable.commit()
        finally:
            self._read_confirms()

    async def compact(self) -> None:
        """Have a segment rewritten."""
        try:
            await self.durable.compact()
        finally:
            self._read_confirms()

    def _read_confirms(self) -> None:
        for last, is_multiple in self.client.acked():
            tags = [tag for tag in self.unconfirmed if tag <= last] if is_multiple else [last]
            self.confirmed.update(*[self.unconfirmed[tag] for tag in tags])

    async def step(self) -> None:
        """Do anything."""
        weights = {
            self.publish: 6, self.fan_out: 4, self.get: 8, self.settle: 8, self.purge: 1,
            self.delete: 0.3, self.move: 2, self.commit: 6, self.compact: 3,
        }  # fmt: skip
        (chosen,) = self.random.choices(list(weights), list(weights.values()))
        pending = chosen()
        if pending is not None:
            await pending

    # the end

    async def crash(self, *, power_cut: bool) -> None:
        """Stop at once, begin again and compare."""
        committed = self.durable.journal._committed_number
        self.disk.restart(power_cut=power_cut)
        await self.start()
        for name in QUEUES:
            self._compare(name, committed)
        self._compare_ties(committed)
        for name in QUEUES:
            here = set(self._found(name))
            self.stays[name] = {body: Stay(0) for body in self.stays[name] if body in here}
        self.confirmed.clear()

    def _found(self, name: str) -> list[bytes]:
        return in_memory(list(self.client.queue(name).ready))

    def _compare(self, name: str, committed: int) -> None:
        found, stays = self._found(name), self.stays[name]
        must = {body for body, stay in stays.items() if stay.came <= committed < stay.left == NEVER}
        may = {body for body, stay in stays.items() if stay.left > committed}
        assert must <= set(found) <= may
        in_order = [body for body in stays if body in set(found)]
        assert found == in_order
        here = {(name, body) for body, stay in stays.items() if stay.left == NEVER}
        assert {body for _, body in self.confirmed & here} <= set(found)

    def _compare_ties(self, committed: int) -> None:
        for name, stays in self.stays.items():
            here = set(self._found(name))
            for body, stay in stays.items():
                if stay.tied_to is None or stay.came > committed:
                    continue
                to, moved = stay.tied_to
                if self.stays[to][moved].left == NEVER:
                    assert (body in here) != (moved in self._found(to))


STEPS: Final = 70


async def play(seed: int, crash_at: int | None, fault: str = "power cut") -> int:
    """Play a history with one crash or fault; return how many operations the disk has seen."""
    world = World(seed)
    await world.start()
    if fault in ("power cut", "kill"):
        world.disk.cut_power_at = crash_at
    elif crash_at is not None:
        world.disk.faults[crash_at] = getattr(errno, fault)
    try:
        for _ in range(STEPS):
            if world.durable.journal.failure is not None:
                break
            await world.step()
    except* PowerCut:
        pass
    operations = world.disk.operations
    await world.crash(power_cut=fault != "kill")
    with suppress(PowerCut):
        for _ in range(10):
            await world.step()
    await world.crash(power_cut=True)
    return operations


@pytest.mark.parametrize(
    ("fault", "every"), [("power cut", 3), ("kill", 7), ("EIO", 5), ("ENOSPC", 8)]
)
@pytest.mark.timeout(60)
def test_a_crash_at_any_operation_keeps_what_was_promised(fault: str, every: int) -> None:
    operations = anyio.run(play, 3, None)
    assert operations > 100
    for operation in range(0, operations, every):
        anyio.run(play, 3, operation, fault)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 1 << 32),
    st.integers(0, 250),
    st.sampled_from(["power cut", "kill", "EIO", "ENOSPC"]),
)
def test_any_history_keeps_what_was_promised(seed: int, operation: int, fault: str) -> None:
    anyio.run(play, seed, operation, fault)
