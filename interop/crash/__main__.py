"""Kill the broker under load again and again, then have it refuse what it cannot use.

The last line sums up; the exit code is 1 if something was lost or came back, or if a refusal was
not as it should be.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from random import SystemRandom

from interop.crash.imports import play_imports
from interop.crash.refusals import SCENARIOS, run_scenarios
from interop.crash.rounds import play


def main() -> int:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(prog="python -m interop.crash", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="kills; 0: only the refusals")
    parser.add_argument("--seed", type=int, help="replays the decisions, though not the timing")
    parser.add_argument("--data-dir", type=Path, help="default: a directory that is deleted")
    parser.add_argument("--fsync", choices=("always", "interval", "never"), default="always")
    parser.add_argument("--body-memory-limit", type=int, help="bytes; a tiny one has all paged out")
    parser.add_argument("--only-rounds", action="store_true", help="skip the refusals")
    parser.add_argument("--imports", type=int, default=5, help="kills in imports of definitions")
    parser.add_argument("--import-size", type=int, default=10_000, help="queues of an import")
    options = parser.parse_args()
    seed = SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    is_ok = True
    with tempfile.TemporaryDirectory(prefix="amqpbroker-crash-") as folder:
        base = options.data_dir or Path(folder) / "data"
        if options.rounds:
            settings = {"fsync": options.fsync}
            if options.body_memory_limit is not None:
                settings["body_memory_limit"] = str(options.body_memory_limit)
            summary = play(base, options.rounds, seed, settings)
            print(f"seed {seed}: {summary}", flush=True)
            is_ok = not summary.problems
        if options.imports:
            imports = play_imports(
                Path(folder) / "imports", options.imports, options.import_size, seed
            )
            print(f"imports: {imports}", flush=True)
            is_ok = is_ok and not imports.problems
        if not options.only_rounds:
            failures = run_scenarios(Path(folder))
            print(f"refusals: {len(SCENARIOS) - failures} of {len(SCENARIOS)} as they should be")
            is_ok = is_ok and not failures
    return 0 if is_ok else 1


if __name__ == "__main__":
    sys.exit(main())
