"""2,047 channels on one connection, each in use, opened and closed three times over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pamqp import commands

from interop.edges import frames
from interop.edges.pacing import at_pace

if TYPE_CHECKING:
    from interop.edges.client import Client
    from interop.edges.stage import Stage

CHANNELS = 2_047
RATE = 500.0  # per second
ROUNDS = 3
QUEUE = "amqpbroker-edges-channels"


async def run(stage: Stage) -> None:
    """Open every channel, publish and get one message on each, close them."""
    before = stage.usage()
    client = await stage.connect()
    await client.call(commands.Queue.Declare(queue=QUEUE, exclusive=True))
    numbers = range(2, stage.count(CHANNELS) + 1)
    for turn in range(1, ROUNDS + 1):
        with stage.phase(f"opening {RATE:g}/s, round {turn}"):
            rate = await at_pace(RATE, numbers, lambda number: _open(client, number))
        held = stage.usage()
        with stage.phase(f"closing {RATE:g}/s, round {turn}"):
            await at_pace(RATE, numbers, lambda number: _close(client, number))
        if before.rss_mib:
            each = (held.rss_mib - before.rss_mib) * 1024 / len(numbers)
            stage.add(
                f"round {turn}",
                f"{len(numbers) + 1:,} open at {rate:.0f}/s, "
                f"{held.rss_mib:.1f} MiB, {each:.1f} KiB each",
            )
    await client.close()
    await stage.expect_back(before)


async def _open(client: Client, number: int) -> None:
    await client.call(commands.Channel.Open(), number)
    client.send(frames.publish("", QUEUE, b"one message", number))
    answer = await client.call(commands.Basic.Get(queue=QUEUE, no_ack=True), number)
    assert isinstance(answer, commands.Basic.GetOk), answer


async def _close(client: Client, number: int) -> None:
    answer = await client.call(commands.Channel.Close(200, "done", 0, 0), number)
    assert isinstance(answer, commands.Channel.CloseOk), answer
