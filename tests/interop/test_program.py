"""Programs are reproducible, survive JSON and shrink."""

from __future__ import annotations

import pytest

from interop.differential.generate import THEMES, make_program
from interop.differential.program import Op, Program, Step
from interop.differential.shrink import shrink


@pytest.mark.parametrize("theme", THEMES)
def test_a_seed_and_an_index_give_the_same_program(theme: str) -> None:
    assert make_program(7, 3, 25, theme) == make_program(7, 3, 25, theme)
    assert make_program(7, 3, 25, theme) != make_program(7, 4, 25, theme)


@pytest.mark.parametrize("index", range(10))
def test_a_program_survives_json(index: int) -> None:
    program = make_program(1, index, 25)
    again = Program.from_json(program.to_json())
    assert again.to_json() == program.to_json()
    assert again.steps[0].channel == program.steps[0].channel


def test_shrinking_keeps_only_what_fails() -> None:
    steps = tuple(Step(0, 1, (Op(str(number)), Op("x"))) for number in range(20))

    def fails(program: Program) -> bool:
        names = {op.name for step in program.steps for op in step.ops}
        return {"3", "17"} <= names

    small = shrink(Program("test", steps), fails, budget_s=10)
    assert [[op.name for op in step.ops] for step in small.steps] == [["3"], ["17"]]


def test_shrinking_leaves_out_arguments() -> None:
    op = Op("queue.declare", {"arguments": [["a", "I", 1], ["b", "I", 1]]})

    def fails(program: Program) -> bool:
        return ["b", "I", 1] in program.steps[0].ops[0].args["arguments"]

    small = shrink(Program("test", (Step(0, 1, (op,)),)), fails, budget_s=10)
    assert small.steps[0].ops[0].args["arguments"] == [["b", "I", 1]]
