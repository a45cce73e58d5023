"""A consumer without acks that never reads its socket, while its queue is flooded."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pamqp import commands

from interop.edges import frames
from interop.edges.pacing import ticks

if TYPE_CHECKING:
    from interop.edges.frames import Frame
    from interop.edges.stage import Stage

MESSAGES = 100_000
BLOCK = 100  # messages in one write
RATE = 10_000.0  # messages per second
BODY_SIZE = 1_024
QUEUE_LENGTH_MAX = 1_000  # so that what grows can only be the stuck connection's buffer
GROWTH_MIB_MAX = 32.0
QUIET_S = 1.0
QUEUE = "amqpbroker-edges-stuck"


async def run(stage: Stage) -> None:
    """Flood the stuck consumer's queue, look at memory, then let it read again."""
    received = 0

    def count_bodies(frame: Frame) -> None:
        nonlocal received
        received += frame.kind == frames.BODY

    before = stage.usage()
    stuck = await stage.connect(count_bodies)
    await stuck.call(
        commands.Queue.Declare(queue=QUEUE, arguments={"x-max-length": QUEUE_LENGTH_MAX})
    )
    await stuck.call(commands.Basic.Consume(queue=QUEUE, no_ack=True))
    stuck.transport.pause_reading()
    publisher = await stage.connect()
    block = frames.publish("", QUEUE, b"x" * BODY_SIZE) * BLOCK
    count = stage.count(MESSAGES)
    with stage.phase(f"{RATE:g} x 1 KiB/s at a stuck consumer"):
        async for _ in ticks(RATE / BLOCK, count // BLOCK):
            publisher.send(block)
            await publisher.drain()
        await publisher.call(commands.Basic.Qos(prefetch_count=1))  # all were handled
    held = stage.usage()
    if before.rss_mib:
        grown = held.rss_mib - before.rss_mib
        sent_mib = count * BODY_SIZE / 2**20
        stage.add(
            f"memory grown by a flood of {sent_mib:.0f} MiB",
            f"{grown:.1f} MiB",
            f"≤ {GROWTH_MIB_MAX:g} MiB",
            grown <= GROWTH_MIB_MAX,
        )
    stuck.transport.resume_reading()
    seen = -1
    while seen != received:
        seen = received
        await asyncio.sleep(QUIET_S)
    least = min(QUEUE_LENGTH_MAX, count)
    stage.add("messages when it reads again", f"{received:,}", f"≥ {least:,}", received >= least)
    await stuck.call(commands.Queue.Delete(queue=QUEUE))
    await publisher.close()
    stuck.vanish()
    await stage.expect_back(before)
