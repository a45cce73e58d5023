"""Run workloads against both brokers in turn and start ours a few times."""

from __future__ import annotations

import asyncio
import re
import subprocess
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pamqp import commands

from interop.edges import client, frames
from interop.edges.broker import Broker, start_amqpbroker

if TYPE_CHECKING:
    from pathlib import Path

    from interop.bench.workloads import Workload

METRIC = re.compile(r"(\w+)=([\d.]+)")
RUN_TIMEOUT_S = 120.0
SETTLE_S = 0.3  # between runs, for what a broker still does after its client has left
IDLE_S = 1.0

Samples = dict[str, list[float]]  # metric -> one value per run


class RunFailed(Exception):
    """amqpload did not get through; the message says against whom and why."""


@dataclass
class Outcome:
    """What a workload gave, per broker; `failure` says why it ended early, if it did."""

    samples: dict[str, Samples]
    failure: str = ""


def alternate(
    program: Path, workload: Workload, brokers: list[Broker], *, runs: int, messages: int
) -> Outcome:
    """Run A B A B …, so that drift of the machine hits both."""
    outcome = Outcome({broker.name: defaultdict(list) for broker in brokers})
    try:
        for broker in brokers * runs:
            for metric, value in run_once(program, workload, broker, messages).items():
                outcome.samples[broker.name][metric].append(value)
    except (RunFailed, client.PeerClosed, OSError) as problem:
        outcome.failure = str(problem)
    return outcome


def run_once(program: Path, workload: Workload, broker: Broker, messages: int) -> dict[str, float]:
    """Run amqpload once, delete its queue, and return what it printed.

    `handled_rate` is added: messages per second until the program had its close-ok, which
    comes after everything published was handled. The other rates stop when the client has
    written its last byte, and some of those bytes are then still in socket buffers.

    Raises:
        RunFailed: it exited with an error or did not end.
    """
    queue = f"amqpbroker-bench-{workload.name}"
    command = [str(program), broker.host, str(broker.port), workload.mode]
    command += [f"n={messages}", f"queue={queue}", *workload.options]
    started = time.perf_counter()
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=RUN_TIMEOUT_S, check=False
        )
        took_s = time.perf_counter() - started
    except subprocess.TimeoutExpired as problem:
        raise RunFailed(f"{broker.name}: no end after {RUN_TIMEOUT_S:g} s") from problem
    finally:
        asyncio.run(_delete(broker, queue))
        time.sleep(SETTLE_S)
    if result.returncode:
        raise RunFailed(f"{broker.name}: {result.stderr.strip() or result.returncode}")
    metrics = {name: float(value) for name, value in METRIC.findall(result.stdout)}
    return metrics | {"handled_rate": messages / took_s}


async def _delete(broker: Broker, queue: str) -> None:
    """Delete the queue with what publish-only runs leave in it."""
    connection = await client.connect(broker.host, broker.port)
    await connection.call(commands.Queue.Delete(queue=queue))
    await connection.close()


async def version(broker: Broker) -> str:
    """Return product and version as the broker states them in connection.start."""
    connection = await client.dial(broker.host, broker.port)
    start = (await connection.ask(frames.PROTOCOL_HEADER, 0)).method()
    connection.transport.abort()
    assert isinstance(start, commands.Connection.Start), start
    properties = start.server_properties
    product, number = (properties.get(key) for key in ("product", "version"))
    return f"{product or broker.name!s} {number or ''!s}".strip()


def start_and_idle(runs: int, data_dir: Path | None) -> tuple[list[float], list[float]]:
    """Start our broker `runs` times; return seconds to ready and idle memory in MB."""
    ready_s, rss_mb = [], []
    for turn in range(runs):
        broker = start_amqpbroker(data_dir / f"start-{turn}" if data_dir else None)
        try:
            time.sleep(IDLE_S)
            ready_s.append(broker.ready_s or 0.0)
            rss_mb.append((broker.rss_mib() or 0.0) * 2**20 / 1e6)
        finally:
            broker.stop()
            broker.discard_log()
    return ready_s, rss_mb
