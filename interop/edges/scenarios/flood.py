"""A publisher that floods a queue nobody consumes: at a pace, then as fast as it can."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pamqp import commands

from interop.edges import frames
from interop.edges.pacing import ticks

if TYPE_CHECKING:
    from interop.edges.client import Client
    from interop.edges.stage import Stage

PACED, PACED_RATE, PACED_BODY = 100_000, 10_000.0, 1_024
FULL_SPEED, FULL_SPEED_BODY = 300_000, 100
BLOCK = 100  # messages in one write
QUEUE = "amqpbroker-edges-flood"


async def run(stage: Stage) -> None:
    """Flood twice, purge, delete; the full-speed flood may slow others but not stall them."""
    before = stage.usage()
    client = await stage.connect()
    await client.call(commands.Queue.Declare(queue=QUEUE))
    paced, full = stage.count(PACED) // BLOCK * BLOCK, stage.count(FULL_SPEED) // BLOCK * BLOCK
    block = frames.publish("", QUEUE, b"x" * PACED_BODY) * BLOCK
    with stage.phase(f"{PACED_RATE:g} x 1 KiB/s"):
        async for _ in ticks(PACED_RATE / BLOCK, paced // BLOCK):
            client.send(block)
            await client.drain()
        await client.call(commands.Basic.Qos(prefetch_count=1))
    _tell(stage, before.rss_mib, paced)
    await _purge(stage, client, paced)
    block = frames.publish("", QUEUE, b"x" * FULL_SPEED_BODY) * BLOCK
    with stage.phase("100 B at full speed", is_limited=False):
        started = time.monotonic()
        for _ in range(full // BLOCK):
            client.send(block)
            await client.drain()
        await client.call(commands.Basic.Qos(prefetch_count=1))
        rate = full / (time.monotonic() - started)
    stage.add("at full speed", f"{full:,} at {rate:,.0f}/s")
    _tell(stage, before.rss_mib, full)
    await _purge(stage, client, full)
    await client.call(commands.Queue.Delete(queue=QUEUE))
    await client.close()
    await stage.expect_back(before)


def _tell(stage: Stage, before_mib: float, count: int) -> None:
    now_mib = stage.usage().rss_mib
    if before_mib:
        each = (now_mib - before_mib) * 2**20 / count
        stage.add(f"memory with {count:,} in the queue", f"{now_mib:.0f} MiB, {each:.0f} B each")


async def _purge(stage: Stage, client: Client, count: int) -> None:
    with stage.phase(f"purging {count:,}", is_limited=False):
        answer = await client.call(commands.Queue.Purge(queue=QUEUE))
    assert isinstance(answer, commands.Queue.PurgeOk), answer
    stage.add("purged", f"{answer.message_count:,}", f"{count:,}", answer.message_count == count)
