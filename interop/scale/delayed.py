"""A million messages that wait: how fast they come, what they cost, and who fires late."""

from __future__ import annotations

import asyncio
import statistics
import struct
import time
from typing import TYPE_CHECKING, Final

from pamqp import commands, frame, header

from interop.edges import frames
from interop.edges.broker import start_amqpbroker
from interop.edges.client import connect
from interop.edges.pacing import ticks
from interop.edges.stage import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from interop.edges.broker import Broker
    from interop.edges.client import Client

COUNT: Final = 1_000_000
WINDOW: Final = 1000
BODY_SIZE: Final = 100
HOUR_MS: Final = 3_600_000
QUEUE: Final = "amqpbroker-scale-delayed"
PLAIN_QUEUE: Final = "amqpbroker-scale-plain"
FIRED_COUNT: Final = 10_000
FIRED_RATE: Final = 1000.0  # per second
AHEAD_MS: Final = 1500
"""From the publish to the moment at which a message is due."""
PUBLISH_RATIO_MIN: Final = 0.5
ERROR_MS_MAX: Final = 20.0
START_TIMEOUT_S: Final = 120.0
TIMEOUT_S: Final = 600.0
_MARK: Final = 0x0123_4567_89AB_CDEF
_ACK: Final = struct.Struct(">IQ?")


def run(folder: Path, scale: float, oracle: Broker | None) -> list[Row]:
    """Run the scenario with its data in ``folder``; RabbitMQ alone has no such delays."""
    del oracle
    count, fired = round(COUNT * scale), round(FIRED_COUNT * scale)
    broker = start_amqpbroker(folder)
    try:
        rows = asyncio.run(_pile_up(broker, count))
        broker.kill()
        broker.discard_log()
        broker = start_amqpbroker(folder, timeout_s=START_TIMEOUT_S)
        rows.append(Row("restart after kill -9, to ready", f"{broker.ready_s or 0.0:.1f} s"))
        rows.append(errors_row(asyncio.run(_fire(broker, fired))))
    finally:
        broker.stop()
        broker.discard_log()
    return rows


def errors_row(errors_ms: list[float]) -> Row:
    """Return the row of how late messages came; one that came early misses the limit too."""
    p50 = statistics.median(errors_ms)
    p99 = statistics.quantiles(errors_ms, n=100)[98]
    measured = f"p50 {p50:.1f}  p99 {p99:.1f}  max {max(errors_ms):.1f} ms, of {len(errors_ms)}"
    # Half a millisecond: due times are whole ones.
    is_ok = p99 <= ERROR_MS_MAX and min(errors_ms) > -1.0
    return Row("late when due, a million waiting", measured, f"p99 ≤ {ERROR_MS_MAX:g} ms", is_ok)


def publishes(
    queue: str, numbers: range, since_ms: int, *, header_name: str = "x-deliver-at"
) -> Iterator[bytes]:
    """Yield persistent publishes of small bodies, each with its own due time in a header."""
    properties = commands.Basic.Properties(delivery_mode=2, headers={header_name: _MARK})
    content = frame.marshal(header.ContentHeader(0, BODY_SIZE, properties), 1)
    method = frames.method(commands.Basic.Publish(exchange="", routing_key=queue))
    head, _, tail = content.partition(struct.pack(">q", _MARK))
    for number in numbers:
        due_ms = since_ms + number
        body = due_ms.to_bytes(8, "big").ljust(BODY_SIZE, b"x")
        middle = head + struct.pack(">q", due_ms) + tail
        yield method + middle + frames.envelope(frames.BODY, 1, body)


async def _pile_up(broker: Broker, count: int) -> list[Row]:
    since_ms = round(time.time() * 1000) + HOUR_MS
    before = broker.rss_mib() or 0.0
    rate = await _publish(broker, QUEUE, count, since_ms)
    size = ((broker.rss_mib() or 0.0) - before) * 2**20 / count
    plain_rate = await _publish(broker, PLAIN_QUEUE, count, since_ms, header_name="x-number")
    client = await connect(broker.host, broker.port)
    await client.call(commands.Queue.Delete(queue=PLAIN_QUEUE))
    await client.close()
    ratio = rate / plain_rate
    measured = f"{rate:.0f}/s, plain durable {plain_rate:.0f}/s (x{ratio:.2f})"
    limit = f"≥ x{PUBLISH_RATIO_MIN:g}"
    return [
        Row(f"{count} delayed, confirmed", measured, limit, ratio >= PUBLISH_RATIO_MIN),
        Row("memory of each", f"{size:.0f} bytes"),
    ]


async def _publish(
    broker: Broker, queue: str, count: int, since_ms: int, *, header_name: str = "x-deliver-at"
) -> float:
    """Publish with at most WINDOW unconfirmed; return confirmed messages per second."""
    confirmed, more = 0, asyncio.Event()

    def on_frame(item: frames.Frame) -> None:
        nonlocal confirmed
        _, tag, _ = _ACK.unpack_from(item.payload)
        confirmed = max(confirmed, tag)
        more.set()

    client = await connect(broker.host, broker.port, on_frame)
    await client.call(commands.Queue.Declare(queue=queue, durable=True))
    await client.call(commands.Confirm.Select())
    step = WINDOW // 2
    started = time.perf_counter()
    for first in range(0, count, step):
        numbers = range(first, min(first + step, count))
        client.send(b"".join(publishes(queue, numbers, since_ms, header_name=header_name)))
        await _until(more, lambda end=numbers.stop: confirmed >= end - step)  # type: ignore[misc]
    await _until(more, lambda: confirmed >= count)
    rate = count / (time.perf_counter() - started)
    await client.close()
    return rate


async def _until(more: asyncio.Event, is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not is_so():
            more.clear()
            await more.wait()


async def _fire(broker: Broker, count: int) -> list[float]:
    """Let messages become due one by one; return by how many ms each came after its time."""
    errors_ms: list[float] = []
    more = asyncio.Event()

    def on_frame(item: frames.Frame) -> None:
        if item.kind == frames.BODY:
            errors_ms.append(time.time() * 1000 - int.from_bytes(item.payload[:8], "big"))
            more.set()

    consumer = await connect(broker.host, broker.port, on_frame)
    await consumer.call(commands.Basic.Consume(queue=QUEUE, no_ack=True))
    client: Client = await connect(broker.host, broker.port)
    first_ms = round(time.time() * 1000) + AHEAD_MS
    async for number in ticks(FIRED_RATE, count):
        client.send(next(publishes(QUEUE, range(number, number + 1), first_ms)))
    await _until(more, lambda: len(errors_ms) >= count)
    await client.close()
    await consumer.close()
    return errors_ms
