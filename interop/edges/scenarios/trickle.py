"""Clients that announce 16 MiB, send it byte by byte, and vanish in the middle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pamqp import commands

from interop.edges import frames
from interop.edges.pacing import ticks

if TYPE_CHECKING:
    from interop.edges.stage import Stage

CLIENTS = 4
BYTES = 5_000  # from all clients together
RATE = 500.0  # bytes per second
BODY_SIZE = 16 * 1024 * 1024
GROWTH_MIB_MAX = 8.0
QUEUE = "amqpbroker-edges-trickle"


async def run(stage: Stage) -> None:
    """Trickle the first body frame; what is announced must not be reserved."""
    before = stage.usage()
    clients = [await stage.connect() for _ in range(CLIENTS)]
    await clients[0].call(commands.Queue.Declare(queue=QUEUE, exclusive=True))
    publish = frames.method(commands.Basic.Publish(routing_key=QUEUE))
    whole = publish + frames.content_header(BODY_SIZE)
    whole += frames.envelope(frames.BODY, 1, b"x" * (frames.FRAME_SIZE_MAX - 8))
    with stage.phase(f"{RATE:g} single bytes/s"):
        async for number in ticks(RATE, stage.count(BYTES)):
            turn, which = divmod(number, CLIENTS)
            clients[which].send(whole[turn : turn + 1])
    held = stage.usage()
    alive = sum(not client.closed.done() for client in clients)
    stage.add("still connected", f"{alive} of {CLIENTS}", str(CLIENTS), alive == CLIENTS)
    if before.rss_mib:
        grown = held.rss_mib - before.rss_mib
        stage.add(
            "memory grown", f"{grown:.1f} MiB", f"≤ {GROWTH_MIB_MAX:g} MiB", grown <= GROWTH_MIB_MAX
        )
    for client in clients:
        client.vanish()
    await stage.expect_back(before)
