"""The command line: options, the loop over programs, replay of one."""

from __future__ import annotations

import argparse
import io
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from interop.differential.client import Endpoint
from interop.differential.compare import refine
from interop.differential.generate import THEMES, make_program
from interop.differential.pair import Pair
from interop.differential.program import Program
from interop.differential.report import Summary, show, show_transcript
from interop.differential.shrink import shrink

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interop.differential.compare import Difference

RERUN_COUNT = 3
"""A difference counts when it comes back this many times out of as many."""
PROGRESS_COUNT = 200
"""Programs between two signs of life."""


def main(argv: list[str] | None = None) -> int:
    """Run and return the exit code: 0 no differences, 1 differences, 2 a broker is not there."""
    options = _parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    pair = Pair(
        _endpoint(options, options.oracle, options.oracle_vhost),
        _endpoint(options, options.subject, options.subject_vhost),
    )
    summary = Summary()
    started = time.monotonic()
    try:
        for name, program in _programs(options):
            if summary.program_count and summary.program_count % PROGRESS_COUNT == 0:
                print(f"… {summary.program_count} programs", file=sys.stderr, flush=True)
            if _check(pair, options, summary, name, program) and not options.keep_going:
                break
    except (OSError, KeyboardInterrupt) as trouble:
        print(f"stopped: {trouble!r}", file=sys.stderr)
        return 2
    finally:
        pair.close()
        print(summary.text(time.monotonic() - started))
    return 1 if summary.signatures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m interop.differential", description=__doc__)
    parser.add_argument("--oracle", default="127.0.0.1:5690", help="HOST:PORT of RabbitMQ")
    parser.add_argument("--subject", default="127.0.0.1:5672", help="HOST:PORT of our broker")
    parser.add_argument("--vhost", default="/", help="vhost on both sides")
    parser.add_argument("--oracle-vhost", help="vhost on the oracle only")
    parser.add_argument("--subject-vhost", help="vhost on the subject only")
    parser.add_argument("--user", default="guest")
    parser.add_argument("--password", default="guest")
    parser.add_argument("--programs", type=int, default=200, help="how many programs")
    parser.add_argument("--first", type=int, default=0, help="index of the first program")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=25, help="steps a program")
    parser.add_argument("--theme", default="", choices=["", *THEMES], help="only this theme")
    parser.add_argument("--replay", help="a program's JSON file, or SEED:INDEX")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at a difference")
    parser.add_argument("--show", action="store_true", help="print what the oracle answers")
    parser.add_argument("--save", type=Path, help="folder for minimal failing programs")
    parser.add_argument("--timeout", type=float, default=5.0, help="seconds to wait for answers")
    parser.add_argument("--reductions", type=int, default=3, help="programs reduced a signature")
    parser.add_argument("--shrink-time", type=float, default=20.0, help="seconds a difference")
    return parser


def _endpoint(options: argparse.Namespace, address: str, vhost: str | None) -> Endpoint:
    host, port = address.rsplit(":", 1)
    return Endpoint(
        host,
        int(port),
        vhost=vhost or options.vhost,
        user=options.user,
        password=options.password,
        timeout_s=options.timeout,
    )


def _programs(options: argparse.Namespace) -> Iterator[tuple[str, Program]]:
    if options.replay and Path(options.replay).exists():
        yield options.replay, Program.from_json(Path(options.replay).read_text())
        return
    seed, indexes = options.seed, range(options.first, options.first + options.programs)
    if options.replay:
        seed, index = (int(part) for part in options.replay.split(":"))
        indexes = range(index, index + 1)
    for index in indexes:
        program = make_program(seed, index, options.steps, options.theme)
        yield f"{seed}:{index}", program


def _check(
    pair: Pair, options: argparse.Namespace, summary: Summary, name: str, program: Program
) -> bool:
    """Compare one program; return whether it showed a difference that is not intended."""
    verdict = pair.compare(program)
    if options.show:
        print(f"{name}: {show_transcript(program, verdict.oracle)}\n", flush=True)
    summary.program_count += 1
    summary.step_count += len(program.steps)
    summary.deviations.update(set(verdict.deviations))
    difference = verdict.difference
    if difference is None:
        return False
    signature = difference.signature
    summary.reductions[signature] += 1
    if summary.reductions[signature] > options.reductions:
        summary.signatures[f"{signature} (more, not reduced)"] += 1
        return True
    if not pair.reproduces(program, signature, RERUN_COUNT):
        summary.unstable[signature] += 1
        print(f"--- {name} unstable: {signature}\n{show(program, difference)}\n", flush=True)
        return False
    small, final = _reduce(pair, options, program, difference)
    refined = refine(small, final)
    summary.signatures[refined] += 1
    if summary.signatures[refined] == 1:
        print(f"=== {name}: {refined}\n{show(small, final)}\n", flush=True)
        _save(options, name, small)
    return True


def _reduce(
    pair: Pair, options: argparse.Namespace, program: Program, difference: Difference
) -> tuple[Program, Difference]:
    """Return the smallest program found that differs in the same way, and how."""
    signature = difference.signature
    small = shrink(program, lambda each: pair.reproduces(each, signature, 1), options.shrink_time)
    final = pair.compare(small).difference
    if final is None or final.signature != signature:
        return program, difference
    return small, final


def _save(options: argparse.Namespace, name: str, program: Program) -> None:
    if options.save is None:
        return
    options.save.mkdir(parents=True, exist_ok=True)
    path = options.save / f"{name.replace(':', '-').replace('/', '-')}.json"
    path.write_text(program.to_json())
    print(f"replay with --replay {path}\n", flush=True)
