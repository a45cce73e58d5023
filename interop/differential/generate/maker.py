"""The state of a program in the making: what probably exists, so that steps make sense."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from interop.differential.generate import vocabulary
from interop.differential.program import Op, Step

if TYPE_CHECKING:
    from random import Random

    from interop.differential.codec import Table


@dataclass
class Maker:
    """Collects steps; generators draw from ``rng`` only."""

    rng: Random
    connection_count: int = 1
    channel_count: int = 2
    rest_ms: int = 0
    is_all_mortal: bool = False
    steps: list[Step] = field(default_factory=list)
    message_count: int = 0
    tag_count: int = 0
    types: dict[str, str] = field(default_factory=dict)
    declared: dict[str, dict[str, Any]] = field(default_factory=dict)
    consumed: dict[tuple[int, int], set[str]] = field(default_factory=dict)
    consumers: dict[str, list[tuple[int, int, str]]] = field(default_factory=dict)
    global_qos: set[tuple[int, int]] = field(default_factory=set)
    holders: list[tuple[int, int]] = field(default_factory=list)
    filled: list[str] = field(default_factory=list)
    modes: dict[tuple[int, int], str] = field(default_factory=dict)

    def add(
        self, *ops: Op, at: tuple[int, int] | None = None, is_careful: bool = True, rest_ms: int = 0
    ) -> None:
        """Append a step on a random channel, or on the one given."""
        connection, channel = at or self.place()
        rest = max(rest_ms, self.rest_ms)
        self.steps.append(Step(connection, channel, ops, is_careful, rest))

    def place(self) -> tuple[int, int]:
        """Return a random connection and channel."""
        connection = self.rng.randrange(self.connection_count)
        return connection, self.rng.randrange(self.channel_count) + 1

    def chance(self, share: float) -> bool:
        """Return true with a probability of ``share``."""
        return self.rng.random() < share

    def queue(self) -> str:
        """Return a queue's name, usually of one that was declared."""
        if self.declared and self.chance(0.95):
            return self.rng.choice(list(self.declared))
        return self.rng.choice([*vocabulary.QUEUES, "@missing"])

    def filled_queue(self) -> str:
        """Return a queue's name, usually of one that was published to."""
        if self.filled and self.chance(0.75):
            return self.rng.choice(self.filled)
        return self.queue()

    def holder(self) -> tuple[int, int]:
        """Return a channel that probably has unsettled deliveries."""
        return self.rng.choice(self.holders) if self.holders else self.place()

    def moded_place(self, mode: str) -> tuple[int, int]:
        """Return a channel, usually one in the mode given (``confirm`` or ``tx``)."""
        places = [place for place, each in self.modes.items() if each == mode]
        return self.rng.choice(places) if places and self.chance(0.7) else self.place()

    def exchange(self) -> str:
        """Return an exchange's name, usually of one that was declared."""
        if self.types and self.chance(0.95):
            return self.rng.choice(list(self.types))
        return self.rng.choice([*vocabulary.EXCHANGES, "@missing", "amq.direct", "amq.topic"])

    def binding(self, exchange: str) -> tuple[str, Table]:
        """Return a binding key and arguments that suit the exchange's type."""
        kind = self.types.get(exchange, "direct")
        key = self.rng.choice(vocabulary.BINDING_KEYS)
        if kind == "x-consistent-hash":
            key = self.rng.choice(["1", "2", "10", "0", "-1", "x", ""])
        if kind == "headers":
            return key, vocabulary.match_arguments(self.rng)
        is_odd = self.chance(0.15)
        return key, vocabulary.table(self.rng, 2) if is_odd else []

    def message(
        self,
        exchange: str,
        routing_key: str,
        *,
        properties: list[tuple[str, Any]] | None = None,
        is_mandatory: bool = False,
        size: int | None = None,
    ) -> Op:
        """Return a publish of a fresh message."""
        self.message_count += 1
        if not exchange and routing_key in self.declared:
            self.filled = [*self.filled, routing_key][-4:]
        given = properties if properties is not None else vocabulary.properties(self.rng)
        args = {
            "exchange": exchange,
            "routing_key": routing_key,
            "mandatory": is_mandatory,
            "immediate": False,
            "properties": [list(pair) for pair in given],
            "id": self.message_count,
            "size": self.rng.choice(vocabulary.BODY_SIZES) if size is None else size,
        }
        return Op("publish", args)
