"""What is printed: a minimal program, both transcripts side by side, and a summary."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interop.differential.compare import Difference
    from interop.differential.program import Program
    from interop.differential.run import Transcript


def show(program: Program, difference: Difference) -> str:
    """Return the program and the step that differs as text."""
    lines = [f"program ({program.label}), step {difference.step_index} differs:"]
    for index, step in enumerate(program.steps[: difference.step_index + 1]):
        flags = "" if step.is_careful else " unopened"
        lines.append(f"  {index:2} c{step.connection}.{step.channel}{flags}")
        lines += [f"       {op.name} {json.dumps(op.args)[:400]}" for op in step.ops]
    same = set(difference.oracle) & set(difference.subject)
    lines.append("oracle:")
    lines += [f"  {' ' if line in same else '-'} {line[:600]}" for line in difference.oracle]
    lines.append("subject:")
    lines += [f"  {' ' if line in same else '+'} {line[:600]}" for line in difference.subject]
    return "\n".join(lines)


def show_transcript(program: Program, transcript: Transcript) -> str:
    """Return a program with what came back after each step."""
    lines = [f"program ({program.label})"]
    for index, step in enumerate(program.steps):
        lines.append(f"  {index:2} c{step.connection}.{step.channel}")
        lines += [f"       {op.name} {json.dumps(op.args)[:400]}" for op in step.ops]
        seen = transcript.steps[index] if index < len(transcript.steps) else []
        lines += [f"          {line[:600]}" for line in seen]
    return "\n".join(lines)


@dataclass
class Summary:
    """Counts of one run."""

    program_count: int = 0
    step_count: int = 0
    reductions: Counter[str] = field(default_factory=Counter)
    signatures: Counter[str] = field(default_factory=Counter)
    unstable: Counter[str] = field(default_factory=Counter)
    deviations: Counter[str] = field(default_factory=Counter)

    def text(self, elapsed_s: float) -> str:
        """Return the summary."""
        rate = self.program_count / max(elapsed_s, 0.001)
        differing = sum(self.signatures.values())
        lines = [
            f"{self.program_count} programs, {self.step_count} steps in {elapsed_s:.0f} s "
            f"({rate:.1f} programs/s a broker): {differing} differ in "
            f"{len(self.signatures)} ways, {sum(self.unstable.values())} unstable"
        ]
        for title, counts in (
            ("differ", self.signatures),
            ("unstable (not the same when run again)", self.unstable),
            ("intended", self.deviations),
        ):
            if counts:
                lines.append(f"{title}:")
                lines += [f"  {count:5} {name}" for name, count in counts.most_common()]
        return "\n".join(lines)
