"""What is measured: the workloads of amqpload and the targets that each must meet.

Message counts are chosen so that one run takes one to three seconds on RabbitMQ 3.10.8 on a
two-core machine.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """One number of a workload, compared as ours / RabbitMQ's.

    With `is_rate` more is better and the ratio must reach the target; else it is a time in
    milliseconds and the ratio must stay at or under it. Without a target it is only told.
    """

    metric: str  # a key of amqpload's output, or `handled_rate`
    title: str
    target: float | None = None
    is_rate: bool = True
    needs_disk: bool = False  # means nothing while our broker keeps all in memory


@dataclass(frozen=True)
class Workload:
    """One command line of amqpload."""

    name: str
    mode: str
    messages: int
    options: tuple[str, ...]
    measures: tuple[Measure, ...]


WORKLOADS = (
    Workload(
        "auto-ack", "e2e", 150_000, (),
        (Measure("e2e_rate", "transient, auto-ack", 2.0),),
    ),
    Workload(
        "ack-100", "e2e", 150_000, ("autoack=0", "multiack=100"),
        (Measure("e2e_rate", "transient, ack every 100"),),
    ),
    Workload(
        "ack-each", "e2e", 100_000, ("autoack=0", "prefetch=300"),
        (Measure("e2e_rate", "transient, ack each, prefetch 300", 2.5),),
    ),
    Workload(
        "publish", "pub", 100_000, (),
        (
            Measure("pub_rate", "publish only, until sent", 1.0),
            Measure("handled_rate", "publish only, until handled"),
        ),
    ),
    Workload(
        "durable", "e2e", 60_000, ("durable=1", "persistent=1", "confirm=1000"),
        (Measure("e2e_rate", "durable, persistent, confirms, window 1000", 2.0, needs_disk=True),),
    ),
    Workload(
        "priority", "e2e", 60_000, ("maxprio=10",),
        (Measure("e2e_rate", "queue with 11 priorities, all used, auto-ack", 1.5),),
    ),
    Workload(
        "message-ids", "e2e", 60_000, ("ids=1",),
        (Measure("e2e_rate", "transient, a message id each, auto-ack", 1.0),),
    ),
    Workload(
        "durable-ids", "e2e", 40_000, ("ids=1", "durable=1", "persistent=1", "confirm=1000"),
        (Measure("e2e_rate", "durable, a message id each, confirms", 1.0, needs_disk=True),),
    ),
    Workload(
        "latency-1k", "lat", 2_000, ("rate=1000",),
        (
            Measure("p50", "latency at 1 k/s, p50", is_rate=False),
            Measure("p99", "latency at 1 k/s, p99", is_rate=False),
        ),
    ),
    Workload(
        "latency-10k", "lat", 20_000, ("rate=10000",),
        (
            Measure("p50", "latency at 10 k/s, p50", is_rate=False),
            Measure("p99", "latency at 10 k/s, p99", 0.5, is_rate=False),
        ),
    ),
)  # fmt: skip

START, IDLE = "start", "idle"  # names of the two measurements that need no load
READY_S_MAX = 0.7
IDLE_RSS_MB_MAX = 80.0
NAMES = (START, IDLE, *(workload.name for workload in WORKLOADS))
