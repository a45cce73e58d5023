"""The table: one line per number, both brokers, the ratio and what it should be."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from interop.bench.workloads import Measure

COLOURS = {"ok": "green", "below": "red", "failed": "red", "later": "yellow"}


@dataclass
class Line:
    """One line; `verdict` is ok, below, failed, later, or empty where nothing is demanded."""

    title: str
    unit: str
    theirs: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    target: str = ""
    verdict: str = ""
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Our median over theirs; None while one is unknown."""
        if not self.ours or not self.theirs or not statistics.median(self.theirs):
            return None
        return statistics.median(self.ours) / statistics.median(self.theirs)

    def as_json(self) -> dict[str, Any]:
        """Return all samples and what follows from them."""
        return asdict(self) | {
            "ratio": self.ratio,
            "theirs_median": statistics.median(self.theirs) if self.theirs else None,
            "ours_median": statistics.median(self.ours) if self.ours else None,
        }


def compare(measure: Measure, theirs: list[float], ours: list[float], *, is_on_disk: bool) -> Line:
    """Judge one number of a workload by the ratio of the medians."""
    line = Line(measure.title, "/s" if measure.is_rate else "ms", theirs, ours)
    if measure.target is None:
        return line
    line.target = f"{'≥' if measure.is_rate else '≤'} {measure.target:g}x"
    ratio = line.ratio
    if ratio is None:
        line.verdict = "failed" if theirs else ""
    elif measure.needs_disk and not is_on_disk:
        line.verdict = "later"
    else:
        is_met = ratio >= measure.target if measure.is_rate else ratio <= measure.target
        line.verdict = "ok" if is_met else "below"
    return line


def at_most(title: str, unit: str, ours: list[float], limit: float) -> Line:
    """Judge a number of ours by its median against a fixed limit."""
    verdict = "ok" if statistics.median(ours) < limit else "below"
    return Line(title, unit, [], ours, f"< {limit:g} {unit}", verdict)


def table(lines: list[Line], theirs: str, ours: str, caption: str) -> Table:
    """Lay the lines out for Rich."""
    result = Table(caption=caption, caption_justify="left")
    result.add_column("100-byte messages, 1 publisher, 1 consumer; medians")
    for column in (theirs, ours, "ratio", "target"):
        result.add_column(column, justify="right")
    result.add_column("")
    for line in lines:
        ratio = f"{line.ratio:.2f}x" if line.ratio is not None else "-"
        colour = COLOURS.get(line.verdict, "default")
        verdict = f"[{colour}]{line.verdict}[/]" if line.verdict else ""
        numbers = (_number(line.theirs, line.unit), _number(line.ours, line.unit))
        result.add_row(escape(line.title), *numbers, ratio, line.target, verdict)
        if line.note:
            result.add_row(f"  {escape(line.note)}")
    return result


def _number(samples: list[float], unit: str) -> str:
    if not samples:
        return "-"
    median = statistics.median(samples)
    return f"{median:,.0f}/s" if unit == "/s" else f"{median:.3g} {unit}"
