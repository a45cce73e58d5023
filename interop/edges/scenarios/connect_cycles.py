"""10,000 times: connect, open a channel, declare a queue of one's own, close."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pamqp import commands

from interop.edges.pacing import at_pace

if TYPE_CHECKING:
    from interop.edges.stage import Stage

CYCLES = 10_000
RATE = 200.0  # per second


async def run(stage: Stage) -> None:
    """Cycle at a pace; after the first tenth, memory must not grow further."""

    async def cycle(_: int) -> None:
        client = await stage.connect()
        await client.call(commands.Queue.Declare(exclusive=True))
        await client.close()

    count = stage.count(CYCLES)
    before = stage.usage()
    with stage.phase(f"the first {count // 10:,} at {RATE:g}/s"):
        await at_pace(RATE, range(count // 10), cycle)
    warm = stage.usage()
    with stage.phase(f"the other {count - count // 10:,} at {RATE:g}/s"):
        rate = await at_pace(RATE, range(count - count // 10), cycle)
    stage.add("cycles", f"{count:,} at {rate:.0f}/s", f"≥ {0.9 * RATE:g}/s", rate >= 0.9 * RATE)
    if warm.rss_mib:
        stage.add("memory after the first tenth", f"{warm.rss_mib:.1f} MiB")
    await stage.expect_back(before, "after the last")
