"""Making a failing program small: steps and ops are left out while the difference stays."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from interop.differential.program import Program, Step

Fails = Callable[[Program], bool]


def shrink(program: Program, fails: Fails, budget_s: float) -> Program:
    """Return a program that still fails, as small as the time allows."""
    deadline = time.monotonic() + budget_s
    size = max(1, len(program.steps) // 2)
    while time.monotonic() < deadline:
        smaller = _first_failing(_without(program, size), fails, deadline)
        if smaller is not None:
            program = smaller
        elif size > 1:
            size //= 2
        else:
            smaller = _first_failing(_with_fewer_ops(program), fails, deadline)
            if smaller is None:
                return program
            program = smaller
    return program


def _first_failing(candidates: Iterator[Program], fails: Fails, deadline: float) -> Program | None:
    for candidate in candidates:
        if time.monotonic() >= deadline:
            return None
        if candidate.steps and fails(candidate):
            return candidate
    return None


def _without(program: Program, size: int) -> Iterator[Program]:
    """Yield the program without each run of ``size`` steps, the last ones first."""
    steps = program.steps
    for start in range(len(steps) - size, -1, -size):
        yield replace(program, steps=steps[:start] + steps[start + size :])


def _with_fewer_ops(program: Program) -> Iterator[Program]:
    for at, step in enumerate(program.steps):
        for smaller in _fewer(step):
            yield replace(program, steps=(*program.steps[:at], smaller, *program.steps[at + 1 :]))


def _fewer(step: Step) -> Iterator[Step]:
    if len(step.ops) > 1:
        for at in range(len(step.ops)):
            yield replace(step, ops=step.ops[:at] + step.ops[at + 1 :])
    for at, op in enumerate(step.ops):
        for name in ("arguments", "properties"):
            if op.args.get(name):
                for index in range(len(op.args[name])):
                    rest = [*op.args[name][:index], *op.args[name][index + 1 :]]
                    smaller = replace(op, args={**op.args, name: rest})
                    yield replace(step, ops=(*step.ops[:at], smaller, *step.ops[at + 1 :]))
