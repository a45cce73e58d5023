"""Run the scenarios named on the command line, or all, and print what was measured.

Exit code 1 when a limit is missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from interop.edges.broker import attach
from interop.edges.table import console, show
from interop.scale import backlog, definitions, delayed, idle_queues, replay

if TYPE_CHECKING:
    from collections.abc import Callable

    from interop.edges.broker import Broker
    from interop.edges.stage import Row

SCENARIOS: Final[dict[str, Callable[[Path, float, Broker | None], list[Row]]]] = {
    "idle-queues": idle_queues.run,
    "backlog": backlog.run,
    "definitions": definitions.run,
    "delayed": delayed.run,
    "replay": replay.run,
}


def main() -> int:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(prog="python -m interop.scale", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SCENARIOS))
    parser.add_argument("--oracle", metavar="HOST:PORT", help="a RabbitMQ to compare with")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the load, 0.1 = a tenth")
    options = parser.parse_args()
    unknown = set(options.names) - set(SCENARIOS)
    if unknown:
        parser.error(f"no scenario {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    oracle = attach(options.oracle) if options.oracle else None
    out, is_ok = console(), True
    for name in options.names or SCENARIOS:
        with tempfile.TemporaryDirectory(prefix="amqpbroker-scale-") as folder:
            rows = SCENARIOS[name](Path(folder) / "data", options.scale, oracle)
        show(out, name, rows)
        is_ok = is_ok and all(row.ok is not False for row in rows)
    return 0 if is_ok else 1


if __name__ == "__main__":
    sys.exit(main())
