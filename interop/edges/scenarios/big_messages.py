"""16 MiB messages in both directions, two each second, with frames of 128 KiB."""

from __future__ import annotations

import asyncio
import os
import zlib
from typing import TYPE_CHECKING

from pamqp import commands

from interop.edges import frames
from interop.edges.pacing import ticks

if TYPE_CHECKING:
    from interop.edges.frames import Frame
    from interop.edges.stage import Stage

MESSAGES = 20
RATE = 2.0  # per second
BODY_SIZE = 16 * 1024 * 1024
DELIVERED_TIMEOUT_S = 30.0
QUEUE = "amqpbroker-edges-big"


class Receiver:
    """Adds up body frames and checks each whole body against what was sent."""

    def __init__(self, checksum: int) -> None:
        """Wait for bodies with this CRC32."""
        self.right_count = self.wrong_count = 0
        self._expected = checksum
        self._size = self._checksum = 0

    def take(self, frame: Frame) -> None:
        """Count one frame."""
        if frame.kind != frames.BODY:
            return
        self._size += len(frame.payload)
        self._checksum = zlib.crc32(frame.payload, self._checksum)
        if self._size >= BODY_SIZE:
            is_right = self._checksum == self._expected and self._size == BODY_SIZE
            self.right_count += is_right
            self.wrong_count += not is_right
            self._size = self._checksum = 0


async def run(stage: Stage) -> None:
    """Publish whole bodies at a pace and consume them on another connection."""
    body = os.urandom(BODY_SIZE)
    receiver = Receiver(zlib.crc32(body))
    message = frames.publish("", QUEUE, body)
    before = stage.usage()
    publisher = await stage.connect()
    consumer = await stage.connect(receiver.take)
    await consumer.call(commands.Queue.Declare(queue=QUEUE, exclusive=False, auto_delete=True))
    await consumer.call(commands.Basic.Consume(queue=QUEUE, no_ack=True))
    count = stage.count(MESSAGES)
    peak_mib = 0.0
    with stage.phase(f"{RATE:g} x 16 MiB/s through"):
        async for _ in ticks(RATE, count):
            publisher.send(message)
            await publisher.drain()
            peak_mib = max(peak_mib, stage.usage().rss_mib or 0.0)
        for _ in range(round(DELIVERED_TIMEOUT_S / 0.05)):
            if receiver.right_count + receiver.wrong_count >= count:
                break
            await asyncio.sleep(0.05)
    stage.add(
        "bodies that came out as they went in",
        f"{receiver.right_count} of {count}",
        str(count),
        receiver.right_count == count and not receiver.wrong_count,
    )
    stage.add("memory at most", f"{peak_mib:.0f} MiB")
    await publisher.close()
    await consumer.close()
    await stage.expect_back(before)
