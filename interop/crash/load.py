"""The clients: publishers with confirms and transactions, consumers that ack, drop and requeue.

::

    direct publisher ──▶ crash.direct ──▶ consumer
    fanout publisher ──▶ (crash.fan) ──▶ crash.fan.1, crash.fan.2 ──▶ a consumer each
                     └─▶ crash.parked (one of fifty): nobody consumes
    tx publisher ──▶ crash.tx.1 (two), crash.tx.2 (one) in a transaction
                         crash.tx.1 ──▶ mover: ack and publish in a transaction ──▶ crash.moved
                         crash.tx.2, crash.moved ──▶ a consumer each
    transient publisher ──▶ crash.transient ──▶ consumer (see ``transient``)

A consumer makes its acks sure by publishing a marker on the same channel and waiting for its
confirm (see ``history``). All of them run until the broker is gone.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from pamqp import commands

from interop.crash.client import Connection, connect, first_of
from interop.crash.history import Found, History, Move, out_of_order
from interop.crash.transient import Transient
from interop.edges.client import PeerClosed

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from random import Random
    from typing import Any

DIRECT: Final = "crash.direct"
FAN: Final = ("crash.fan.1", "crash.fan.2")
TX: Final = ("crash.tx.1", "crash.tx.2")
MOVED: Final = "crash.moved"
PARKED: Final = "crash.parked"
MARKERS: Final = "crash.markers"
QUEUES: Final = (DIRECT, *FAN, *TX, MOVED, PARKED)
EXCHANGE: Final = "crash.fan"

WINDOW: Final = 200
"""Publishes that wait for their confirm."""
PREFETCH: Final = 50
PARKED_RATIO: Final = 0.02
"""Messages that stay for good, so that old segments must be kept or compacted."""
BACKLOG_MAX: Final = 2000
"""Messages in a queue above which its publisher lets the consumer catch up: rounds stay short."""
PAUSE_S: Final = 0.002
IDLE_S: Final = 0.05
"""After which a consumer settles although nothing has come."""


class Load:
    """The clients of one round."""

    def __init__(self, history: History, numbers: dict[str, int], random: Random) -> None:
        self._history = history
        self._numbers = numbers
        """Publisher → its last number, over all rounds."""
        self._random = random

    async def run(self, port: int) -> None:
        """Run all clients until the broker is gone; anything else is raised."""
        transient = Transient(self._history, self._random)
        work = [
            transient.publish(port),
            transient.consume(port),
            self._publish_confirmed(port, "direct"),
            self._publish_confirmed(port, "fan"),
            self._publish_transactions(port),
            self._move(port),
            *(self._consume(port, queue) for queue in (DIRECT, *FAN, TX[1], MOVED)),
        ]
        async with asyncio.TaskGroup() as tasks:
            for each in work:
                tasks.create_task(self._until_gone(each))

    async def _until_gone(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except PeerClosed as error:
            if not str(error).startswith(("socket closed", "320 ")):
                self._history.problems.append(f"the broker has closed a client: {error}")
        except (ConnectionError, TimeoutError):
            pass

    def _next_name(self, publisher: str) -> str:
        self._numbers[publisher] = self._numbers.get(publisher, 0) + 1
        return f"{publisher}-{self._numbers[publisher]}"

    # publishers

    async def _publish_confirmed(self, port: int, publisher: str) -> None:
        connection = await connect(port)
        await connection.client.call(commands.Confirm.Select())
        window = _Window(connection)
        while True:
            for _ in range(self._random.randint(1, 40)):
                name = self._next_name(publisher)
                queues: tuple[str, ...] = FAN
                if publisher == "direct":
                    queues = (PARKED if self._random.random() < PARKED_RATIO else DIRECT,)
                self._history.send(name, *queues)
                window.wait_for(partial(self._history.promise, name, *queues))
                exchange = EXCHANGE if queues is FAN else ""
                connection.publish(name, exchange=exchange, routing_key=queues[0])
            await window.keep_below(WINDOW)
            await self._let_catch_up(connection, DIRECT if publisher == "direct" else FAN[0])
            await asyncio.sleep(self._random.random() * 20 * PAUSE_S)

    async def _publish_transactions(self, port: int) -> None:
        connection = await connect(port)
        await connection.client.call(commands.Tx.Select())
        while True:
            messages = [(queue, self._next_name("tx")) for queue in (TX[0], TX[0], TX[1])]
            self._history.send_together(*messages)
            for queue, name in messages:
                connection.publish(name, routing_key=queue)
            await connection.client.call(commands.Tx.Commit())
            for queue, name in messages:
                self._history.promise(name, queue)
            await self._let_catch_up(connection, TX[0])

    async def _let_catch_up(self, connection: Connection, queue: str) -> None:
        """Publish no more while a queue is long, unless the broker is gone."""
        closed = connection.client.closed
        while self._history.backlog(queue) > BACKLOG_MAX and not closed.done():
            await asyncio.wait([closed], timeout=IDLE_S)

    # consumers

    async def _move(self, port: int) -> None:
        connection = await connect(port)
        await connection.client.call(commands.Tx.Select())
        await connection.consume(TX[0], 1)
        while True:
            delivery = await connection.next(IDLE_S)
            if delivery is None:
                continue
            self._history.deliver(TX[0], delivery.name, redelivered=delivery.redelivered)
            move = Move(TX[0], delivery.name, MOVED, self._next_name("moved"))
            self._history.move(move)
            connection.publish(move.new_name, routing_key=MOVED)
            connection.ack(delivery.tag)
            await connection.client.call(commands.Tx.Commit())
            self._history.be_sure(TX[0], delivery.name)
            self._history.promise(move.new_name, MOVED)

    async def _consume(self, port: int, queue: str) -> None:
        connection = await connect(port)
        await connection.client.call(commands.Confirm.Select())
        await connection.consume(queue, PREFETCH)
        consumer = _Consumer(connection, queue, self._history, self._random)
        while True:
            delivery = await connection.next(IDLE_S)
            if delivery is not None:
                consumer.take(delivery.tag, delivery.name, redelivered=delivery.redelivered)
            if delivery is None or self._random.random() < 0.4:
                consumer.settle_some()
                consumer.mark(self._next_name("marker"))
                await asyncio.sleep(self._random.random() * PAUSE_S)


class _Consumer:
    """Settles what comes at random."""

    def __init__(
        self, connection: Connection, queue: str, history: History, random: Random
    ) -> None:
        self._connection = connection
        self._window = _Window(connection)
        self._queue = queue
        self._history = history
        self._random = random
        self._held: dict[int, str] = {}
        self._seen: set[str] = set()
        self._last: dict[str, str] = {}
        """Publisher → its last message that came for the first time here."""
        self._unsure: list[str] = []

    def take(self, tag: int, name: str, *, redelivered: bool) -> None:
        """Take note of a delivery; what comes for the first time here comes in order."""
        self._history.deliver(self._queue, name, redelivered=redelivered)
        self._held[tag] = name
        if name not in self._seen:
            publisher = name.rpartition("-")[0]
            before = self._last.get(publisher)
            self._history.problems += out_of_order(self._queue, [*filter(None, [before]), name])
            self._seen.add(name)
            self._last[publisher] = name

    def settle_some(self) -> None:
        """Settle some of what is held: one or all acked, one dropped, one requeued."""
        if not self._held:
            return
        roll = self._random.random()
        tag = self._random.choice(list(self._held))
        if roll < 0.4:
            tags = [held for held in self._held if held <= tag]
            self._leave(tags)
            self._connection.ack(tag, multiple=True)
        elif roll < 0.8:
            self._leave([tag])
            self._connection.ack(tag)
        elif roll < 0.9:
            self._leave([tag])
            self._connection.nack(tag, requeue=False)
        else:
            del self._held[tag]
            self._connection.nack(tag, requeue=True)

    def _leave(self, tags: list[int]) -> None:
        for tag in tags:
            name = self._held.pop(tag)
            self._history.leave(self._queue, name)
            self._unsure.append(name)

    def mark(self, marker: str) -> None:
        """Make everything sure that was settled so far."""
        unsure, self._unsure = self._unsure, []

        def be_sure() -> None:
            for name in unsure:
                self._history.be_sure(self._queue, name)

        self._window.wait_for(be_sure)
        self._connection.publish(marker, routing_key=MARKERS)


class _Window:
    """Publishes that wait for their confirms, and what is to be done when these come."""

    def __init__(self, connection: Connection) -> None:
        self._waiting: dict[int, Callable[[], None]] = {}
        self._last = 0
        self._has_room = asyncio.Event()
        self._connection = connection
        connection.on_confirm = self._confirm

    def wait_for(self, done: Callable[[], None]) -> None:
        """Call ``done`` when the publish that follows is confirmed."""
        self._last += 1
        self._waiting[self._last] = done

    def _confirm(self, tag: int, multiple: bool) -> None:
        tags = [waiting for waiting in self._waiting if waiting <= tag] if multiple else [tag]
        for waiting in tags:
            self._waiting.pop(waiting)()
        self._has_room.set()

    async def keep_below(self, count: int) -> None:
        """Wait until fewer than ``count`` wait; raises PeerClosed if the broker is gone."""
        closed = self._connection.client.closed
        while len(self._waiting) >= count and not closed.done():
            self._has_room.clear()
            await first_of(self._has_room, closed)


async def declare(port: int) -> None:
    """Declare everything that is durable; it is there already but for the first time."""
    connection = await connect(port)
    call = connection.client.call
    await call(commands.Exchange.Declare(exchange=EXCHANGE, exchange_type="fanout", durable=True))
    for queue in QUEUES:
        await call(commands.Queue.Declare(queue=queue, durable=True))
    for queue in FAN:
        await call(commands.Queue.Bind(queue=queue, exchange=EXCHANGE))
    markers = commands.Queue.Declare(queue=MARKERS, durable=True, arguments={"x-max-length": 5})
    await call(markers)
    await connection.close()


async def contents(port: int) -> dict[str, list[Found]]:
    """Return all that is in the queues, in order, and leave it there."""
    connection = await connect(port)
    found: dict[str, list[Found]] = {}
    for queue in QUEUES:
        passive = commands.Queue.Declare(queue=queue, passive=True)
        answer = await connection.client.call(passive)
        assert isinstance(answer, commands.Queue.DeclareOk)
        await connection.client.call(commands.Basic.Consume(queue=queue, consumer_tag=queue))
        found[queue] = []
        while len(found[queue]) < (answer.message_count or 0):
            delivery = await connection.next(20)
            if delivery is None:
                break
            found[queue].append(Found(delivery.name, delivery.redelivered))
        await connection.client.call(commands.Basic.Cancel(queue))
        assert not connection.deliveries, "more is delivered than was counted"
    await connection.close()
    return found
