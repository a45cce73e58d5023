"""Comparing two transcripts and naming a difference so that equal causes get equal names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interop.differential.program import Program, Step
    from interop.differential.run import Transcript

_VARIABLE: Final = (
    (re.compile(r"\bc\d+\.\d+ "), ""),
    (re.compile(r"properties\(.*\) body\(.*\)"), "content"),
    (re.compile(r"~[^\s,:)'\"]*|\$(queue|tag|reply)\d+"), "~"),
    (re.compile(r"<<.*?>>"), "<<…>>"),
    (re.compile(r"(routing_key|consumer_tag|exchange|queue)='[^']*'"), r"\1"),
    (re.compile(r"k{20,}|n{20,}"), "…"),
    (re.compile(r"-?\d+"), "N"),
)


@dataclass(frozen=True)
class Difference:
    """The first step of a program that did not look the same on both sides.

    ``earlier`` are the steps before it.
    """

    step_index: int
    step: Step
    oracle: tuple[str, ...]
    subject: tuple[str, ...]
    earlier: tuple[Step, ...] = ()

    @property
    def signature(self) -> str:
        """The ops of the step and the first lines that one side alone has, generalised."""
        ops = "+".join(dict.fromkeys(_op_name(op.name, op.args) for op in self.step.ops))
        left, right = self.only_oracle, self.only_subject
        if left and right:
            return f"{ops}: {generalise(left[0])} ≠ {generalise(right[0])}"
        if left or right:
            side = "lacks" if left else "adds"
            return f"{ops}: subject {side} {generalise((left or right)[0])}"
        return f"{ops}: another order of lines"

    @property
    def only_oracle(self) -> list[str]:
        """The lines that the oracle's side alone has."""
        return [line for line in self.oracle if line not in self.subject]

    @property
    def only_subject(self) -> list[str]:
        """The lines that the subject's side alone has."""
        return [line for line in self.subject if line not in self.oracle]


def refine(program: Program, difference: Difference) -> str:
    """Return the signature of a minimal program: with all that the program needs to fail."""
    needed: set[str] = set()
    for step in program.steps[: difference.step_index + 1]:
        for op in step.ops:
            needed.add(_op_name(op.name, op.args))
            needed.update(str(each[0]) for each in op.args.get("arguments", []))
            needed.update(str(each[0]) for each in op.args.get("properties", []))
            if op.name == "exchange.declare":
                needed.add(str(op.args.get("type")))
    return f"{difference.signature} (needs {', '.join(sorted(needed))})"


def _op_name(name: str, args: dict[str, object]) -> str:
    return str(args["method"]) if name == "settle" else name


def generalise(line: str) -> str:
    """Return a line without names and numbers, for grouping; reply codes stay."""
    code = re.search(r"reply_code=(\d+)", line)
    for pattern, replacement in _VARIABLE:
        line = pattern.sub(replacement, line)
    return line.replace("reply_code=N", f"reply_code={code[1]}") if code else line


def differences(program: Program, oracle: Transcript, subject: Transcript) -> Iterator[Difference]:
    """Yield the steps at which two transcripts part."""
    for index in range(max(len(oracle.steps), len(subject.steps))):
        left = oracle.steps[index] if index < len(oracle.steps) else ["(ended)"]
        right = subject.steps[index] if index < len(subject.steps) else ["(ended)"]
        if left != right:
            step, earlier = program.steps[index], program.steps[:index]
            yield Difference(index, step, tuple(left), tuple(right), earlier)
