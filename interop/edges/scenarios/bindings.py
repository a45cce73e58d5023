"""100,000 bindings on one topic exchange: bound, routed through, unbound, deleted."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from pamqp import commands

from interop.edges import frames
from interop.edges.pacing import ticks

if TYPE_CHECKING:
    from interop.edges.client import Client
    from interop.edges.stage import Stage

BINDINGS = 100_000
QUEUES = 100
BURST = 20  # methods sent before the first answer is awaited
RATE = 2_000.0  # bindings per second
MESSAGES = 5_000
PUBLISH_RATE = 1_000.0  # messages per second
EXCHANGE = "amqpbroker-edges-topic"
LIMITED = {"x-max-length": 10}  # the routed messages are not what is measured


def _key(number: int) -> str:
    """Return one of the three common shapes of a binding key, all of them different."""
    shape = ("shop.{0}.order.{1}", "shop.{0}.*.{1}", "shop.{0}.{1}.#")[number % 3]
    return shape.format(number % 1_000, number)


async def run(stage: Stage) -> None:
    """Bind all, publish keys never seen before, unbind half, delete the exchange with the rest."""
    client = await stage.connect()
    await client.call(commands.Exchange.Declare(exchange=EXCHANGE, exchange_type="topic"))
    for number in range(QUEUES):
        await client.call(commands.Queue.Declare(queue=_queue(number), arguments=dict(LIMITED)))
    before = stage.usage()
    count = stage.count(BINDINGS)
    bare = await _publish(stage, client, "before binding", "nothing")
    binds = [
        frames.method(commands.Queue.Bind(queue=_queue(n), exchange=EXCHANGE, routing_key=_key(n)))
        for n in range(count)
    ]
    with stage.phase(f"binding {RATE:g}/s"):
        rate = await _bursts(client, binds)
    held = stage.usage()
    stage.add("bound", f"{count:,}, answered at {rate:,.0f}/s")
    if before.rss_mib:
        each = (held.rss_mib - before.rss_mib) * 1024 / count
        stage.add("memory while bound", f"{held.rss_mib:.0f} MiB, {each:.2f} KiB each")
    full = await _publish(stage, client, f"with {count:,}", "shop.1.order")
    stage.add("a publish with a new routing key", f"{bare:.0f} → {full:.0f} µs")
    unbinds = [
        frames.method(
            commands.Queue.Unbind(queue=_queue(n), exchange=EXCHANGE, routing_key=_key(n))
        )
        for n in range(count // 2)
    ]
    with stage.phase(f"unbinding {RATE:g}/s"):
        rate = await _bursts(client, unbinds)
    stage.add("unbound", f"{len(unbinds):,}, answered at {rate:,.0f}/s")
    with stage.phase("deleting the exchange with the rest", is_limited=False):
        await client.call(commands.Exchange.Delete(exchange=EXCHANGE))
        await asyncio.sleep(1.0)
    for number in range(QUEUES):
        await client.call(commands.Queue.Delete(queue=_queue(number)))
    await client.close()
    await stage.expect_back(before)


def _queue(number: int) -> str:
    return f"amqpbroker-edges-topic-{number % QUEUES}"


async def _bursts(client: Client, methods: list[bytes]) -> float:
    """Send in pipelined bursts at RATE; return methods per second while one was outstanding."""
    busy_s = 0.0
    async for number in ticks(RATE / BURST, (len(methods) + BURST - 1) // BURST):
        started = time.monotonic()
        burst = methods[number * BURST : (number + 1) * BURST]
        replies = [client.ask(method) for method in burst]
        await asyncio.gather(*replies)
        busy_s += time.monotonic() - started
    return len(methods) / busy_s


async def _publish(stage: Stage, client: Client, when: str, prefix: str) -> float:
    """Publish with keys that no cache can know; return µs per message until it was routed."""
    busy_s = 0.0
    count = stage.count(MESSAGES)
    barrier = frames.method(commands.Basic.Qos(prefetch_count=1))
    with stage.phase(f"publishing {PUBLISH_RATE:g}/s {when}"):
        async for burst in ticks(PUBLISH_RATE / BURST, (count + BURST - 1) // BURST):
            first = burst * BURST
            keys = [f"{prefix}.{first + n}" for n in range(BURST)]
            data = b"".join(frames.publish(EXCHANGE, key, b"x") for key in keys)
            started = time.monotonic()
            client.send(data)
            await client.ask(barrier)
            busy_s += time.monotonic() - started
    return busy_s / count * 1e6
