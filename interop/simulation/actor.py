"""A client that does at random what clients do, again and again, whatever happens to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio

from amqpbroker.wire import methods as m
from interop.simulation.client import Channel, Connection, Lost, Target, declare
from interop.simulation.content import properties
from interop.simulation.topology import FANOUT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from random import Random

    from amqpbroker.wire.codec import Method
    from interop.simulation.things import Outcome
    from interop.simulation.topology import OwnQueue, QueueSpec
    from interop.simulation.world import World

MODES: Final = ("confirm", "confirm", "tx", "plain")
SMALL_SIZES: Final = (0, 3, 10, 40)
SIZES: Final = (*SMALL_SIZES, *SMALL_SIZES, 150, 600, 2000)
EXPIRATIONS_MS: Final = (50, 400, 3000)
KEYS: Final = ("a", "b", "c")
"""Of partitions."""
OUTCOMES: Final[tuple[Outcome, ...]] = ("ack",) * 7 + ("requeue",) * 2 + ("reject",)
PREFETCH_COUNTS: Final = (0, 1, 3, 10)
OUTSTANDING_COUNT_MAX: Final = 40
PAUSE_MAX_S: Final = 2.0
"""For which a client may read nothing."""
PAUSE_S: Final = 0.1
"""Between two actions, on average."""


class Actor:
    """One client; its habits are drawn when the run begins."""

    def __init__(self, world: World, name: str, own: OwnQueue) -> None:
        self._world = world
        self._own = own
        self._random: Random = world.random
        self._name = name
        self._serial = 0
        self._connection: Connection | None = None
        self._channels: list[Channel] = []
        self._tempo = self._random.choice((0.3, 1, 1, 3))
        actions: list[tuple[Callable[[Channel], Awaitable[None]], float]] = [
            (self._publish, 30), (self._settle, 40), (self._consume, 6), (self._get, 8),
            (self._commit, 12), (self._roll_back, 2), (self._cancel, 2), (self._sync, 3),
            (self._recover, 1), (self._close_channel, 1), (self._cut, 1), (self._close, 0.5),
            (self._purge, 0.2), (self._qos, 1), (self._declare, 6), (self._delete, 2),
            (self._pause, 1),
        ]  # fmt: skip
        self._actions = [action for action, _ in actions]
        self._weights = [weight * self._random.choice((0.1, 1, 1, 3)) for _, weight in actions]

    async def run(self) -> None:
        """Act until cancelled."""
        world = self._world
        while True:
            await anyio.sleep(self._random.expovariate(self._tempo / PAUSE_S))
            if not world.is_open:
                await world.until_open()
            try:
                await self._act()
            except (Lost, ConnectionRefusedError):
                await anyio.sleep(self._random.random() * 0.1)

    async def _act(self) -> None:
        if self._connection is None or self._connection.is_over:
            await self._open()
        self._channels = [channel for channel in self._channels if channel.is_open]
        if not self._channels:
            await self._open_channel()
        channel = self._random.choice(self._channels)
        (action,) = self._random.choices(self._actions, self._weights)
        await action(channel)

    async def _open(self) -> None:
        self._serial += 1
        self._channels = []
        self._connection = self._world.connection(f"{self._name}.{self._serial}")
        await self._connection.open()
        random = self._random
        if random.random() < 0.2:
            self._connection.chunk(lambda size: random.randint(1, size))

    async def _open_channel(self) -> None:
        assert self._connection is not None
        for _ in range(self._random.choice((1, 1, 2))):
            mode = self._random.choice(MODES)
            prefetch_count = self._random.choice(PREFETCH_COUNTS)
            self._channels.append(await self._connection.channel(mode, prefetch_count))

    # publishing

    async def _publish(self, channel: Channel) -> None:
        if len(channel.outstanding) > OUTSTANDING_COUNT_MAX:
            return
        random, topology = self._random, self._world.topology
        if random.random() < 0.3:
            target = Target(FANOUT, "", topology.bound)
        else:
            spec = random.choice(topology.homes)
            if self._own.state == "there" and random.random() < 0.3:
                spec = self._own.spec
            target = Target("", spec.name, [spec])
        self._publish_to(channel, target)

    def _publish_to(self, channel: Channel, target: Target) -> None:
        random = self._random
        is_persistent = random.random() < 0.8
        expiration_ms = random.choice(EXPIRATIONS_MS) if random.random() < 0.04 else None
        key = random.choice(KEYS)
        raw = properties(
            is_persistent=is_persistent,
            priority=random.choice((0, 0, 1, 3)),
            expiration_ms=expiration_ms,
            key=key,
        )
        size = random.choice(SIZES)
        messages = []
        for _ in range(random.choice((1, 1, 2, 5))):
            message = self._world.message(channel.party, size, is_persistent=is_persistent)
            message.ttl_ms = expiration_ms
            message.key = key
            message.is_spread = bool(target.exchange)
            messages.append(message)
        channel.publish(target, messages, raw)

    async def _commit(self, channel: Channel) -> None:
        if channel.mode == "tx":
            await channel.commit()

    async def _roll_back(self, channel: Channel) -> None:
        if channel.mode == "tx":
            await channel.roll_back()

    # consuming

    def _some_queue(self) -> QueueSpec:
        if self._own.state == "there" and self._random.random() < 0.3:
            return self._own.spec
        return self._random.choice(self._world.topology.queues)

    async def _qos(self, channel: Channel) -> None:
        count = self._random.choice(PREFETCH_COUNTS)
        has_quorum = any(spec.is_quorum for spec in self._world.topology.homes)
        is_global = self._random.random() < 0.1 and not has_quorum  # refused there
        await channel.call(m.BasicQos(0, count, is_global), m.BasicQosOk)

    async def _consume(self, channel: Channel) -> None:
        if len(channel.consumers) < 3:
            self._serial += 1
            no_ack = self._random.random() < 0.15
            await channel.consume(self._some_queue(), f"c{self._serial}", no_ack=no_ack)

    async def _cancel(self, channel: Channel) -> None:
        if channel.consumers:
            await channel.cancel(self._random.choice(list(channel.consumers)))

    async def _get(self, channel: Channel) -> None:
        await channel.get(self._some_queue(), no_ack=self._random.random() < 0.2)

    async def _settle(self, channel: Channel) -> None:
        if not channel.unsettled:
            return
        random = self._random
        outcome = random.choice(OUTCOMES)
        is_reject = random.random() < 0.5
        multiple = random.random() < 0.25 and not (is_reject and outcome != "ack")
        for _ in range(random.choice((1, 1, 3))):
            if channel.unsettled:
                tag = random.choice(list(channel.unsettled))
                channel.settle(tag, outcome, multiple=multiple, is_reject=is_reject)

    async def _recover(self, channel: Channel) -> None:
        """Requeue everything; with consumers one could not tell old deliveries from new ones."""
        if not channel.consumers:
            await channel.recover()

    async def _sync(self, channel: Channel) -> None:
        await channel.declare(self._some_queue(), passive=True)

    async def _purge(self, channel: Channel) -> None:
        await channel.purge(self._some_queue())

    # a queue of one's own

    async def _declare(self, channel: Channel) -> None:
        """Declare it, perhaps bind it, perhaps publish at once without waiting for the answer."""
        own, random = self._own, self._random
        if own.state == "there":
            return
        own.state = "unknown"
        methods: list[Method] = [declare(own.spec)]
        if random.random() < 0.5:
            methods.append(m.QueueBind(0, own.spec.name, FANOUT, "", False, {}))
        channel.ask(methods, (m.QueueDeclareOk, m.QueueBindOk))
        if random.random() < 0.5:
            self._publish_to(channel, Target("", own.spec.name, [own.spec]))
        await channel.answered()
        own.state = "there"

    async def _delete(self, channel: Channel) -> None:
        own = self._own
        if own.state != "there":
            return
        own.state = "unknown"
        doomed = self._world.model.delete(own.spec)
        await channel.call(m.QueueDelete(0, own.spec.name, False, False, False), m.QueueDeleteOk)
        for copy in doomed:
            copy.gone_for_good = True
        own.state = "absent"

    async def _pause(self, channel: Channel) -> None:
        """Read nothing for a while."""
        connection = channel.connection
        if connection.pause():
            await anyio.sleep(self._random.random() * PAUSE_MAX_S)
            connection.resume()

    # leaving

    async def _close_channel(self, channel: Channel) -> None:
        await channel.close()

    async def _close(self, channel: Channel) -> None:
        await channel.connection.close()

    async def _cut(self, channel: Channel) -> None:
        channel.connection.cut(is_reset=self._random.random() < 0.5)
