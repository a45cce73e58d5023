"""10,000 clients that stop in the middle of the handshake; the broker must hang up on them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from interop.edges import frames
from interop.edges.client import Client, dial
from interop.edges.pacing import at_pace

if TYPE_CHECKING:
    from interop.edges.stage import Stage

CLIENTS = 10_000
RATE = 500.0  # per second
HANG_UP_S_MAX = 15.0  # RabbitMQ's handshake_timeout is 10 s


async def run(stage: Stage) -> None:
    """Stop after nothing, after the protocol header or after start-ok, by turns."""
    lives: list[float] = []
    open_count = open_count_max = 0
    count = stage.count(CLIENTS)
    all_gone = asyncio.Event()

    def gone(client: Client, opened: float) -> None:
        nonlocal open_count
        open_count -= 1
        lives.append(time.monotonic() - opened)
        client.transport.abort()
        if len(lives) == count:
            all_gone.set()

    async def stop_halfway(number: int) -> None:
        nonlocal open_count, open_count_max
        client = await dial(stage.broker.host, stage.broker.port)
        opened = time.monotonic()
        open_count += 1
        open_count_max = max(open_count, open_count_max)
        client.closed.add_done_callback(lambda _: gone(client, opened))
        if number % 3:
            await client.ask(frames.PROTOCOL_HEADER, 0)
        if number % 3 == 2:
            await client.ask(frames.START_OK, 0)

    before = stage.usage()
    with stage.phase(f"opening {RATE:g}/s"):
        rate = await at_pace(RATE, range(count), stop_halfway)
    stage.add("half-open handshakes", f"{count:,} at {rate:.0f}/s, {open_count_max:,} at a time")
    with stage.phase("waiting to be hung up on"), contextlib.suppress(TimeoutError):
        await asyncio.wait_for(all_gone.wait(), HANG_UP_S_MAX)
    stage.add(
        "hung up on",
        f"{len(lives):,} after {max(lives, default=0):.1f} s at most",
        f"{count:,} within {HANG_UP_S_MAX:g} s",
        len(lives) == count and max(lives) <= HANG_UP_S_MAX,
    )
    await stage.expect_back(before)
