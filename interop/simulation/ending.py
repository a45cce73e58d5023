"""The end of a run: everything is answered, taken out of the queues, counted, and gone for good."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio

from amqpbroker.broker.partitioned_ready import PartitionedReady
from amqpbroker.wire import methods as m
from interop.simulation.client import Channel, Target, declare
from interop.simulation.content import properties
from interop.simulation.things import Violation
from interop.simulation.topology import FANOUT

if TYPE_CHECKING:
    from amqpbroker.broker.consumer import Consumer as BrokerConsumer
    from amqpbroker.broker.queue import Queue
    from interop.simulation.topology import QueueSpec
    from interop.simulation.world import World

ANSWER_TIMEOUT_S: Final = 20.0
PROBE_RATIO: Final = 0.3
QUIET_S: Final = 1.2
"""More than between two compactions."""
SEGMENTS_LEFT_MAX: Final = 2


async def define(world: World) -> None:
    """Declare what there is to be, or see that it is still there."""
    connection = world.connection(f"setup{world.life}")
    await connection.open()
    channel = await connection.channel("plain")
    defined = world.defined
    own = world.topology.own
    queues = [*world.topology.queues, *(item.spec for item in own if item.state == "there")]
    kept = {item.spec.name for item in own} | defined
    declares = [declare(spec, passive=spec.name in kept) for spec in queues]
    try:
        await channel.calls(declares, (m.QueueDeclareOk,))
    finally:
        answered = zip(queues, channel.answers, strict=False)
        defined.update(spec.name for spec, _ in answered if spec.is_durable)
    if FANOUT not in defined:
        method = m.ExchangeDeclare(0, FANOUT, "fanout", False, True, False, False, False, {})
        await channel.call(method, m.ExchangeDeclareOk)
        defined.add(FANOUT)
    bound = [spec for spec in world.topology.bound if f"{FANOUT} {spec.name}" not in defined]
    if bound:
        binds = [m.QueueBind(0, spec.name, FANOUT, "", False, {}) for spec in bound]
        await channel.calls(binds, (m.QueueBindOk,))
    defined.update(f"{FANOUT} {spec.name}" for spec in bound if spec.is_durable)
    for item in own:
        if item.state == "absent" and world.random.random() < PROBE_RATIO:
            probe = await connection.channel("plain")
            if not await probe.is_missing(item.spec):
                raise Violation(f"{item.spec.name} was deleted, but is there")
    await connection.close()


async def finish(world: World) -> None:
    """Let clients act without faults, then see that everything is answered and there."""
    await define(world)
    world.let_in()
    await anyio.sleep(world.random.random())
    world.keep_out()
    await _quiet(world)
    for connection in list(world.connections):
        connection.cut(is_reset=False)
    await anyio.sleep(0.1)
    await _read_to_the_end(world)
    connection = world.connection("drain")
    await connection.open()
    channel = await connection.channel("confirm")
    own = [item.spec for item in world.topology.own]
    await channel.calls([declare(spec) for spec in own], (m.QueueDeclareOk,))
    for spec in (*world.topology.homes, *own, *world.topology.graves):
        await _drain(world, channel, spec)
    world.model.check_disputes()
    world.model.check_all_found()
    if channel.unsettled:
        channel.settle(max(channel.unsettled), "ack", multiple=True, is_reject=False)
    for _ in range(3):
        await _barrier(world, channel)
        await anyio.sleep(QUIET_S)
    await world.journal.wait(world.journal.ticket)
    _check_empty(world)


async def look(world: World) -> None:
    """See that what was settled before the power cut is gone."""
    connection = world.connection("look")
    await connection.open()
    channel = await connection.channel("plain")
    kept = [spec for spec in world.topology.queues if spec.is_durable]
    kept += [own.spec for own in world.topology.own]
    declares = [declare(spec, passive=True) for spec in kept]
    answers = await channel.calls(declares, (m.QueueDeclareOk,))
    for spec, answer in zip(kept, answers, strict=True):
        if answer.message_count:
            await channel.get(spec)
            raise Violation(f"{spec.name} is not empty after the last restart")


async def _quiet(world: World) -> None:
    """Wait until nobody waits for anything and all read; then no message must have to wait."""
    deadline = world.now() + ANSWER_TIMEOUT_S
    channels = [channel for item in world.connections for channel in item.channels.values()]
    while waiting := [channel.party for channel in channels if _is_busy(channel, world.now())]:
        if world.now() > deadline:
            raise Violation(f"no answer to {waiting}")
        await anyio.sleep(0.05)
    await _read_back(world)
    for queue in world.broker.vhosts["/"].queues.values():
        for consumer in queue.consumers if queue.ready else ():
            is_full = consumer.channel.session.is_full
            is_active = queue.consumers.is_active(consumer) and _may_get(queue, consumer)
            if is_active and not is_full and consumer.room() > 0:
                count = len(queue.ready)
                raise Violation(f"{queue.name} keeps {count} messages from {consumer.tag}")


def _may_get(queue: Queue, consumer: BrokerConsumer) -> bool:
    """Return whether something that is ready is for a consumer."""
    if not isinstance(queue.ready, PartitionedReady):
        return True
    return any(
        partition and partition.consumer is consumer and not partition.is_moving
        for partition in queue.ready.partitions
    )


async def _read_to_the_end(world: World) -> None:
    """Wait until all that clients have sent is handled, which a slow disk may hold up."""
    deadline = world.now() + ANSWER_TIMEOUT_S
    while world.broker.sessions:
        if world.now() > deadline:
            raise Violation("clients that are gone are not read to their ends")
        await anyio.sleep(0.01)


async def _read_back(world: World) -> None:
    """Wait until bodies that are not in memory have been read and delivered."""
    deadline = world.now() + ANSWER_TIMEOUT_S
    while world.journal.pager.is_reading:
        if world.now() > deadline:
            raise Violation("messages are not read back")
        await anyio.sleep(0.01)


def _is_busy(channel: Channel, now: float) -> bool:
    return channel.is_waiting or (channel.is_open and channel.party.deaf_until >= now)


async def _drain(world: World, channel: Channel, spec: QueueSpec) -> None:
    count = await channel.declare(spec, passive=True)
    world.trace("%s holds %d messages", spec.name, count)
    got, may_expire = [], world.model.may_expire(spec)  # some while the others are read back
    if count:
        known = len(channel.unsettled)
        await channel.consume(spec, spec.name, no_ack=False)
        await _read_back(world)
        await channel.cancel(spec.name)
        got = [copy for copy, _ in channel.unsettled.values()][known:]
    world.model.drain(spec.name, got)
    # Of what clients had in hand at a crash, too much may be back: it goes as soon as one is taken.
    least = min(count, spec.max_length or 0) if spec.is_dropping else count
    if not least <= len(got) <= count and not may_expire:
        raise Violation(f"{spec.name} says it has {count} messages, and has {len(got)}")


async def _barrier(world: World, channel: Channel) -> None:
    """Have everything so far durable."""
    spec = world.topology.by_name["q0"]
    message = world.message(channel.party, 3, is_persistent=True)
    target = Target("", spec.name, [spec])
    channel.publish(target, [message], properties(is_persistent=True))
    await channel.confirmed()
    await channel.get(spec)
    channel.settle(max(channel.unsettled), "ack", multiple=False, is_reject=False)


def _check_empty(world: World) -> None:
    """Look into the broker: all counts must be nothing."""
    for queue in world.broker.vhosts["/"].queues.values():
        ready, unsettled = len(queue.ready), queue.unsettled_count
        if ready or unsettled:
            raise Violation(f"{queue.name} is drained: {ready} ready, {unsettled} unsettled")
    pager = world.journal.pager
    is_held = pager.size and not pager.spill.has_staged
    if pager.paged_size or is_held or world.machine.spill.names():
        left = f"{pager.statistics()}, {world.machine.spill.names()}"
        raise Violation(f"all is gone, but not from memory and disk: {left}")
    segments = list(world.journal.segments)
    alive = {segment.first: segment.alive for segment in segments if segment.alive}
    if alive or len(segments) > SEGMENTS_LEFT_MAX:
        raise Violation(f"all is settled, but {len(segments)} segments are left, alive {alive}")
