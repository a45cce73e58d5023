"""The queues of a run, and what their arguments mean for what may become of a message."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from amqpbroker.wire.table import Field

if TYPE_CHECKING:
    from random import Random

    from amqpbroker.wire.table import Table

FANOUT: Final = "spread"
"""A durable fanout exchange."""
REJECT_PUBLISH: Final = "reject-publish"
TTLS_MS: Final = (300, 1_500, 6_000)


@dataclass(frozen=True, slots=True)
class QueueSpec:
    """One queue; ``grave`` is the queue that its dead letters come to."""

    name: str
    is_durable: bool = True
    is_quorum: bool = False
    ttl_ms: int | None = None
    max_length: int | None = None
    overflow: str = "drop-head"
    max_priority: int = 0
    is_single_active: bool = False
    partition_count: int = 1
    is_bound: bool = False
    """To the fanout exchange."""
    grave: QueueSpec | None = None

    @property
    def arguments(self) -> Table:
        """Return the arguments of queue.declare."""
        arguments: Table = {}
        if self.is_quorum:
            arguments["x-queue-type"] = Field("S", b"quorum")
            if self.is_safe:
                arguments["x-dead-letter-strategy"] = Field("S", b"at-least-once")
                arguments["x-overflow"] = Field("S", REJECT_PUBLISH.encode())
        if self.ttl_ms is not None:
            arguments["x-message-ttl"] = Field("I", self.ttl_ms)
        if self.max_length is not None:
            arguments["x-max-length"] = Field("I", self.max_length)
            arguments["x-overflow"] = Field("S", self.overflow.encode())
        if self.max_priority:
            arguments["x-max-priority"] = Field("I", self.max_priority)
        if self.is_single_active:
            arguments["x-single-active-consumer"] = Field("t", True)
        if self.partition_count > 1:
            arguments["x-partitions"] = Field("I", self.partition_count)
        if self.grave is not None:
            arguments["x-dead-letter-exchange"] = Field("S", b"")
            arguments["x-dead-letter-routing-key"] = Field("S", self.grave.name.encode())
        return arguments

    def lane(self, key: str) -> str:
        """Return what messages are in order with, of those of one publisher."""
        return key if self.partition_count > 1 else ""

    def keeps(self, *, is_persistent: bool) -> bool:
        """Return whether a message survives a restart in this queue."""
        return self.is_quorum or (self.is_durable and is_persistent)

    @property
    def is_safe(self) -> bool:
        """Whether dead letters must arrive."""
        return self.is_quorum and self.grave is not None and not self.is_dropping

    @property
    def is_refusing(self) -> bool:
        """Whether publishers are told that there is no room."""
        return self.max_length is not None and self.overflow != "drop-head"

    @property
    def is_dropping(self) -> bool:
        """Whether the oldest message makes room."""
        return self.max_length is not None and not self.is_refusing


class OwnQueue:
    """A queue that one client declares and deletes as it likes; nobody else uses it."""

    def __init__(self, name: str) -> None:
        self.spec = QueueSpec(name)
        self.state: Literal["absent", "unknown", "there"] = "absent"
        """What its owner knows of it: unknown while a method has not been answered."""


class Topology:
    """The queues of one run: some are there in all its lives, some come and go."""

    def __init__(self, random: Random) -> None:
        homes = [QueueSpec("q0", is_bound=True), QueueSpec("q1", is_bound=True)]
        homes += [_some_queue(random, f"q{number}") for number in range(2, random.randint(2, 5))]
        self.homes = homes
        """Queues that clients publish to."""
        self.graves = [spec.grave for spec in homes if spec.grave is not None]
        self.queues = [*self.graves, *homes]
        self.by_name = {spec.name: spec for spec in self.queues}
        self.bound = [spec for spec in homes if spec.is_bound]
        self.own = [OwnQueue(f"own{number}") for number in range(random.randint(2, 4))]
        """One for each client."""


def _some_queue(random: Random, name: str) -> QueueSpec:
    limit = random.choice((None, None, 3, 12))
    is_partitioned = random.random() < 0.25
    spec = QueueSpec(
        name,
        is_durable=random.random() < 0.85,
        ttl_ms=random.choice((None, None, *TTLS_MS)),
        max_length=limit,
        overflow=random.choice(("drop-head", REJECT_PUBLISH)) if limit else "drop-head",
        max_priority=0 if is_partitioned else random.choice((0, 0, 0, 3)),
        is_single_active=not is_partitioned and random.random() < 0.2,
        partition_count=random.choice((2, 5)) if is_partitioned else 1,
        is_bound=random.random() < 0.4,
        grave=QueueSpec(f"{name}.dead") if random.random() < 0.6 else None,
    )
    if random.random() < 0.3:
        spec = replace(
            spec,
            is_quorum=True,
            is_durable=True,
            max_priority=0,
            is_single_active=False,
            partition_count=1,
        )
    return spec
