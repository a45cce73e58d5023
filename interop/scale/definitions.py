"""100,000 queues in one import, in one transaction, and who notices."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Final

from interop.crash.imports import ask, document
from interop.edges.broker import start_amqpbroker
from interop.edges.stage import Stage

if TYPE_CHECKING:
    from pathlib import Path

    from interop.edges.broker import Broker
    from interop.edges.stage import Row

COUNT: Final = 100_000
READY_S_MAX: Final = 10.0


def run(folder: Path, scale: float, _oracle: Broker | None) -> list[Row]:
    """Run the scenario with its data in ``folder``."""
    count = round(COUNT * scale)
    broker = start_amqpbroker(folder)
    stage = Stage(broker)
    try:
        asyncio.run(_import_twice(stage, json.dumps(document(count)).encode(), count))
        broker.kill()
        broker.discard_log()
        broker = start_amqpbroker(folder, timeout_s=5 * READY_S_MAX)
        ready_s = broker.ready_s or 0.0
        limit = f"≤ {READY_S_MAX:g} s"
        stage.add("restart after kill -9", f"{ready_s:.1f} s", limit, ready_s <= READY_S_MAX)
    finally:
        broker.stop()
        broker.discard_log()
    return stage.rows


async def _import_twice(stage: Stage, data: bytes, count: int) -> None:
    await stage.start_probe()
    for what in (f"{count} queues and bindings imported", "the same again"):
        started = time.perf_counter()
        with stage.phase(what, is_limited=False):
            port = stage.broker.management_port
            status, body = await asyncio.to_thread(ask, port, "POST", "/definitions", data)
        took_s = time.perf_counter() - started
        stage.add(what, f"{took_s:.1f} s", "204", status == 204)
        if status != 204:
            stage.add("it answered", f"{status} {body!r}")
    await stage.stop_probe()
