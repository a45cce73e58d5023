"""Running the same program against both brokers at once and comparing what came back."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from os import getpid
from typing import TYPE_CHECKING

from interop.differential.compare import Difference, differences
from interop.differential.deviations import find_deviation
from interop.differential.run import Runner, Transcript

if TYPE_CHECKING:
    from interop.differential.client import Endpoint
    from interop.differential.program import Program


@dataclass
class Verdict:
    """The unexplained difference of one comparison, if any, and the intended ones before it.

    ``oracle``: what the oracle's client saw.
    """

    oracle: Transcript
    difference: Difference | None = None
    deviations: list[str] = field(default_factory=list)


class Pair:
    """Oracle and subject, each with its own thread."""

    def __init__(self, oracle: Endpoint, subject: Endpoint) -> None:
        self._runners = (Runner(oracle), Runner(subject))
        self._pool = ThreadPoolExecutor(2)
        self._numbers = itertools.count()

    def compare(self, program: Program) -> Verdict:
        """Run a program on both sides under a fresh prefix; raises OSError."""
        prefix = f"d{getpid() % 0xFFFF:04x}{next(self._numbers):05x}."
        oracle, subject = self._pool.map(lambda each: each.run(program, prefix), self._runners)
        verdict = Verdict(oracle)
        for difference in differences(program, oracle, subject):
            deviation = find_deviation(difference)
            if deviation is None:
                verdict.difference = difference
                break
            verdict.deviations.append(deviation.name)
            if not deviation.is_contained:
                break
        return verdict

    def reproduces(self, program: Program, signature: str, count: int) -> bool:
        """Whether a difference of this signature shows up ``count`` times out of as many."""
        for _ in range(count):
            difference = self.compare(program).difference
            if difference is None or difference.signature != signature:
                return False
        return True

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()
