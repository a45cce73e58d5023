"""10,000 connections that do nothing but heartbeats, opened and closed at a steady pace."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from interop.edges.pacing import at_pace

if TYPE_CHECKING:
    from interop.edges.client import Client
    from interop.edges.stage import Stage

CONNECTIONS = 10_000
OPEN_RATE, CLOSE_RATE = 250.0, 500.0  # per second
HEARTBEAT_S = 60
HOLD_S = 5.0


async def run(stage: Stage) -> None:
    """Open all, hold them, close half politely and drop the other half."""
    clients: list[Client] = []
    before = stage.usage()

    async def open_one(_: int) -> None:
        clients.append(await stage.connect(heartbeat_s=HEARTBEAT_S))

    async def close_one(number: int) -> None:
        if number % 2:
            await clients[number].close()
        else:
            clients[number].vanish()

    count = stage.count(CONNECTIONS)
    with stage.phase(f"opening {OPEN_RATE:g}/s"):
        rate = await at_pace(OPEN_RATE, range(count), open_one)
    stage.add(
        "opened, handshake and one channel",
        f"{count:,} at {rate:.0f}/s",
        f"≥ {0.9 * OPEN_RATE:g}/s",
        rate >= 0.9 * OPEN_RATE,
    )
    held = stage.usage()
    with stage.phase(f"{count:,} open"):
        await asyncio.sleep(HOLD_S)
    lost = sum(client.closed.done() for client in clients)
    stage.add("lost while idle", str(lost), "0", lost == 0)
    if before.rss_mib:
        each = (held.rss_mib - before.rss_mib) * 1024 / count
        stage.add("memory while open", f"{held.rss_mib:.0f} MiB, {each:.1f} KiB each")
    with stage.phase(f"closing {CLOSE_RATE:g}/s"):
        await at_pace(CLOSE_RATE, range(count), close_one)
    await stage.expect_back(before)
