"""Fuzz the targets named on the command line, or all, one after the other.

Exit code 1 when an input was found that breaks one; it is kept, and the table says where.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

from interop.fuzz.targets import NAMES, load

INPUT_SIZE_MAX: Final = 4096
"""Bytes of an input: two frames of the handshake's size, and room for dozens of small ones."""
INPUT_TIME_MAX_S: Final = 10
"""An input that takes longer is a failure; the slowest good one takes milliseconds."""
MEMORY_MAX_MIB: Final = 768
"""A process that grows beyond this is a failure; it starts with some 120."""
NICE: Final = 19
_STATISTIC: Final = re.compile(r"^stat::(\w+):\s+(\d+)$", re.MULTILINE)
_COVERAGE: Final = re.compile(r"cov: (\d+) ft: (\d+)")


class Outcome(NamedTuple):
    """What a run of one target has come to."""

    is_ok: bool
    executions: int
    coverage: int
    peak_mib: int
    cpu_s: float
    output: str


def fuzz(name: str, folder: Path, seconds: int) -> Outcome:
    """Fuzz one target in a process of its own; its corpus grows in ``folder``."""
    corpus, broken = folder / name, folder / f"{name}-broken-"
    options = {
        "max_total_time": seconds,
        "max_len": INPUT_SIZE_MAX,
        "timeout": INPUT_TIME_MAX_S,
        "rss_limit_mb": MEMORY_MAX_MIB,
        "print_final_stats": 1,
        "artifact_prefix": broken,
    }
    command = [sys.executable, "-m", "interop.fuzz.child", name, str(corpus)]
    command += [f"-{option}={value}" for option, value in options.items()]
    start = os.times()
    run = subprocess.run(
        ["nice", f"-n{NICE}", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    end = os.times()
    statistics = {key: int(value) for key, value in _STATISTIC.findall(run.stdout)}
    covered = _COVERAGE.findall(run.stdout)
    return Outcome(
        is_ok=run.returncode == 0,
        executions=statistics.get("number_of_executed_units", 0),
        coverage=int(covered[-1][0]) if covered else 0,
        peak_mib=statistics.get("peak_rss_mb", 0),
        cpu_s=end.children_user + end.children_system - start.children_user - start.children_system,
        output=run.stdout,
    )


def replay(name: str, path: Path) -> None:
    """Run one input without atheris, so that a debugger can follow it."""
    load(name).check(path.read_bytes())
    print(f"{path}: ok")


def main() -> int:
    """Parse the command line, fuzz, print a table."""
    parser = argparse.ArgumentParser(prog="python -m interop.fuzz", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="TARGET", help=", ".join(NAMES))
    parser.add_argument("--seconds", type=int, default=300, help="for each target; default 300")
    parser.add_argument("--folder", type=Path, default=Path("fuzz-corpus"), help="of the inputs")
    parser.add_argument("--input", type=Path, help="run this one input of one target and no more")
    options = parser.parse_args()
    unknown = set(options.names) - set(NAMES)
    if unknown:
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    if options.input is not None:
        replay(options.names[0], options.input)
        return 0
    if importlib.util.find_spec("atheris") is None:
        parser.error("this needs atheris: pip install -e '.[fuzz]'")
    is_ok = True
    print(f"{'target':<12} {'inputs':>9} {'edges':>6} {'CPU s':>6} {'peak MiB':>8}", flush=True)
    for name in options.names or NAMES:
        outcome = fuzz(name, options.folder, options.seconds)
        figures = f"{outcome.executions:>9} {outcome.coverage:>6} {outcome.cpu_s:>6.0f}"
        verdict = "ok" if outcome.is_ok else "BROKEN"
        print(f"{name:<12} {figures} {outcome.peak_mib:>8}  {verdict}", flush=True)
        if not outcome.is_ok:
            print("\n".join(outcome.output.splitlines()[-40:]), flush=True)
        is_ok = is_ok and outcome.is_ok
    return 0 if is_ok else 1


if __name__ == "__main__":
    sys.exit(main())
