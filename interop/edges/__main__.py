"""Run the scenarios named on the command line, or all, and print what was measured.

Each scenario gets a fresh broker, a fresh probe and a process of its own.
Exit code 1 when a limit is missed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from interop.edges.run import run_scenario
from interop.edges.scenarios import SCENARIOS
from interop.edges.table import console, show


def title(name: str) -> str:
    """Return the heading of a scenario's table."""
    doc = sys.modules[SCENARIOS[name].__module__].__doc__ or name
    return f"{name}: {doc.splitlines()[0]}"


def main() -> int:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(prog="python -m interop.edges", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SCENARIOS))
    parser.add_argument("--url", help="HOST:PORT of a broker that runs; default: start ours")
    parser.add_argument("--log", type=Path, help="with --url: the broker's log file")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the load, 0.1 = a tenth")
    options = parser.parse_args()
    unknown = set(options.names) - set(SCENARIOS)
    if unknown:
        parser.error(f"no scenario {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    out = console()
    is_ok = True
    for name in options.names or SCENARIOS:
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            arguments = (name, options.url, options.log, options.scale)
            rows = pool.submit(run_scenario, *arguments).result()
        show(out, title(name), rows)
        is_ok = is_ok and all(row.ok is not False for row in rows)
    return 0 if is_ok else 1


if __name__ == "__main__":
    sys.exit(main())
