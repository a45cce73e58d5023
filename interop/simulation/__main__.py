"""Run seeds and print what failed and how fast it went; or one seed with all that happens in it.

Exit code 1 when a seed failed.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time

from interop.simulation.run import Result, run_seed, run_seeds

REPORT_EVERY = 1000


def _one(seed: int, *, is_traced: bool) -> int:
    if is_traced:
        logging.basicConfig(format="%(name)s: %(message)s", stream=sys.stdout)
        logging.getLogger("amqpbroker").setLevel(logging.INFO)
    result = run_seed(seed, print if is_traced else None)
    print(f"seed {seed}: {result.failure or 'ok'}")
    return 1 if result.failure else 0


def _many(seeds: range, job_count: int) -> int:
    start_s = time.monotonic()
    failed: list[Result] = []
    delivered_count = lives = 0
    for number, result in enumerate(run_seeds(seeds, job_count), 1):
        delivered_count += result.delivered_count
        lives += result.lives
        if result.failure:
            failed.append(result)
            print(f"seed {result.seed}: {result.failure}", flush=True)
        if number % REPORT_EVERY == 0:
            print(f"{number} seeds, {number / (time.monotonic() - start_s):.1f}/s", flush=True)
    elapsed_s = time.monotonic() - start_s
    print(
        f"{len(seeds)} seeds in {elapsed_s:.0f} s ({len(seeds) / elapsed_s:.1f}/s), {lives} lives,"
        f" {delivered_count} deliveries: {len(failed)} failed"
    )
    return 1 if failed else 0


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m interop.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="run this one")
    parser.add_argument("--trace", action="store_true", help="print all that happens in it")
    parser.add_argument("--seeds", type=int, default=1000, metavar="N", help="run so many")
    parser.add_argument("--start", type=int, default=0, metavar="N", help="the first of them")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes")
    options = parser.parse_args()
    if options.seed is not None:
        return _one(options.seed, is_traced=options.trace)
    logging.disable()
    return _many(range(options.start, options.start + options.seeds), options.jobs)


if __name__ == "__main__":
    sys.exit(main())
