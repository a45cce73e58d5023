"""Compare our broker with RabbitMQ on this machine, in one run, and judge the targets.

RabbitMQ is the one at --oracle (or AMQP_ORACLE), else Debian's rabbitmq-server is started
privately. Exit code 1 when a target is missed, 2 when the comparison cannot be made.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from interop.bench import measure, rabbitmq, report, workloads
from interop.bench.build import BuildFailed, build_amqpload
from interop.edges.broker import Broker, StartFailed, attach, start_amqpbroker

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH_MIN = 110
BUSY_LOAD = 1.0
console = Console(width=max(WIDTH_MIN, Console().width))
progress = Console(stderr=True)


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m interop.bench", description=__doc__)
    parser.add_argument(
        "--oracle", metavar="HOST:PORT", default=os.environ.get("AMQP_ORACLE"), help="RabbitMQ"
    )
    parser.add_argument("--alone", action="store_true", help="without RabbitMQ: numbers, no ratios")
    parser.add_argument("--ours", metavar="HOST:PORT", help="a broker that runs, not a fresh one")
    parser.add_argument("--disk", action="store_true", help="ours with a data folder, not --memory")
    parser.add_argument(
        "--only", metavar="NAME", action="append", choices=workloads.NAMES,
        help=f"may be repeated: {', '.join(workloads.NAMES)}",
    )  # fmt: skip
    parser.add_argument("--runs", type=int, default=5, help="runs per broker and workload (5)")
    parser.add_argument("--n", type=int, help="messages per run, for all workloads")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples")
    return parser.parse_args()


@contextlib.contextmanager
def peer(options: argparse.Namespace) -> Iterator[list[Broker]]:
    """Yield RabbitMQ as a list of one, or nothing with --alone.

    Raises:
        StartFailed: there is none to compare with.
    """
    if options.alone:
        yield []
    elif options.oracle:
        yield [attach(options.oracle)]
    elif rabbitmq.is_installed():
        progress.print("starting rabbitmq-server")
        with rabbitmq.running() as broker:
            yield [broker]
    else:
        raise StartFailed("no RabbitMQ: apt install rabbitmq-server, or --oracle, or --alone")


def compare(
    options: argparse.Namespace, program: Path, theirs: list[Broker], ours: Broker
) -> list[report.Line]:
    """Run the chosen workloads and judge them."""
    lines = []
    for workload in workloads.WORKLOADS:
        if options.only and workload.name not in options.only:
            continue
        progress.print(workload.name)
        outcome = measure.alternate(
            program,
            workload,
            [*theirs, ours],
            runs=options.runs,
            messages=options.n or workload.messages,
        )
        for each in workload.measures:
            values = [outcome.samples[broker.name][each.metric] for broker in (*theirs, ours)]
            line = report.compare(
                each, values[0] if theirs else [], values[-1], is_on_disk=options.disk
            )
            if outcome.failure:
                line.note, line.verdict = outcome.failure, "failed"
            lines.append(line)
    return lines


def start_lines(
    options: argparse.Namespace, theirs: list[Broker], data_dir: Path | None
) -> list[report.Line]:
    """Measure start-up and idle memory of ours; RabbitMQ's stand beside where known."""
    ready_s, rss_mb = measure.start_and_idle(options.runs, data_dir)
    start = report.at_most("from start to ready", "s", ready_s, workloads.READY_S_MAX)
    idle = report.at_most("idle memory", "MB", rss_mb, workloads.IDLE_RSS_MB_MAX)
    for broker in theirs:
        start.theirs = [broker.ready_s] if broker.ready_s else []
        rss_mib = broker.rss_mib()
        idle.theirs = [rss_mib * 2**20 / 1e6] if rss_mib else []
    chosen = options.only or workloads.NAMES
    pairs = ((workloads.START, start), (workloads.IDLE, idle))
    return [line for name, line in pairs if name in chosen]


def bench(options: argparse.Namespace, scratch: Path) -> list[report.Line]:
    """Measure everything that was asked for and print the table.

    Raises:
        BuildFailed, StartFailed: it cannot be measured here.
    """
    program = build_amqpload()
    busy = os.getloadavg()[0]
    if busy > BUSY_LOAD:
        progress.print(f"load average is {busy:.1f}: what else runs here will distort the ratios")
    data_dir = scratch if options.disk else None
    with peer(options) as theirs:
        is_start_wanted = not options.only or {workloads.START, workloads.IDLE} & {*options.only}
        lines = start_lines(options, theirs, data_dir) if is_start_wanted else []
        if options.ours:
            ours = attach(options.ours, name="amqpbroker")
        else:
            ours = start_amqpbroker(scratch / "load" if options.disk else None)
        try:
            names = [asyncio.run(measure.version(broker)) for broker in theirs]
            lines += compare(options, program, theirs, ours)
        finally:
            ours.stop()
            ours.discard_log()
    caption = f"{options.runs} runs each, in turn; {machine()}; load average before: {busy:.1f}"
    console.print(report.table(lines, names[0] if theirs else "-", ours.name, caption))
    if options.json:
        document = {"machine": machine(), "brokers": [*names, ours.name], "runs": options.runs}
        document["load_average_before"] = busy
        document |= {"lines": [line.as_json() for line in lines]}
        options.json.write_text(json.dumps(document, indent=2) + "\n")
    return lines


def machine() -> str:
    """Say in a few words where this ran."""
    processor = platform.machine()
    with contextlib.suppress(OSError):
        rows = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(row.split(": ")[1] for row in rows if row.startswith("model name"))
    return (
        f"{os.cpu_count()} x {processor}, {platform.system()}, Python {platform.python_version()}"
    )


def main() -> int:
    """Run and return the exit code."""
    options = parse()
    try:
        with tempfile.TemporaryDirectory(prefix="amqpbroker-bench-") as scratch:
            lines = bench(options, Path(scratch))
    except (BuildFailed, StartFailed, OSError) as problem:
        progress.print(str(problem), style="red", markup=False)
        return 2
    return 1 if any(line.verdict in ("below", "failed") for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
