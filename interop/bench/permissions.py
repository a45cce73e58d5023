"""What permission checks cost: the broker beside itself with the checks taken out.

::

    python -m interop.bench.permissions [--runs 7]

Both run at once and take turns. The user has patterns of fifty alternatives each and a permission
for topics, among a thousand others in a hundred vhosts. Exit code 1: a ratio is below 0.95.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from interop.bench.build import build_amqpload
from interop.bench.measure import alternate
from interop.bench.workloads import Measure, Workload
from interop.edges.broker import READY, Broker

if TYPE_CHECKING:
    from collections.abc import Iterator

RATIO_MIN: Final = 0.95
USER: Final = "worker"
PATTERN: Final = "|".join([*(f"^team{n}\\..*$" for n in range(49)), "^(amqpbroker-bench|amq).*$"])
UNCHECKED: Final = """
from amqpbroker.broker.permits import Permits
from amqpbroker.cli.app import main
Permits.check = Permits.check_topic = lambda self, *what: None
main()
"""
OPTIONS: Final = (f"user={USER}", f"pass={USER}")
WORKLOADS: Final = tuple(
    Workload(f"permissions-{name}", mode, 150_000, (*OPTIONS, *more), (Measure("", name),))
    for name, mode, more in [
        ("auto-ack", "e2e", ()),
        ("ack-each", "e2e", ("autoack=0", "prefetch=300")),
        ("publish", "pub", ()),
        ("message-ids", "e2e", ("ids=1",)),
    ]
)


def _hashed(password: str) -> str:
    salt = b"salt"
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def definitions() -> dict[str, Any]:
    """Return a thousand users with permissions, one of them ours."""
    names = [USER, "guest", *(f"user{number}" for number in range(1000))]
    vhosts = ["/", *(f"vhost{number}" for number in range(100))]

    def permitted(name: str, vhost: str, pattern: str) -> dict[str, str]:
        rights = dict.fromkeys(("configure", "write", "read"), pattern)
        return {"user": name, "vhost": vhost, **rights}

    return {
        "users": [
            {"name": name, "password_hash": _hashed(name), "tags": "",
             "hashing_algorithm": "rabbit_password_hashing_sha256"}
            for name in names
        ],
        "vhosts": [{"name": name} for name in vhosts],
        "permissions": [
            permitted("guest", "/", ".*"),
            permitted(USER, "/", PATTERN),
            *(permitted(name, vhosts[n % 100 + 1], PATTERN) for n, name in enumerate(names[2:])),
        ],
        "topic_permissions": [
            {"user": USER, "vhost": "/", "exchange": "amq.topic", "write": PATTERN, "read": ".*"}
        ],
    }  # fmt: skip


@contextmanager
def served(name: str, python: list[str], path: Path) -> Iterator[Broker]:
    """Run a broker with the definitions at ``path``."""
    command = [sys.executable, *python, "serve", "--memory", "--port", "0"]
    command += ["--management-port", "0", "--definitions", str(path)]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONMALLOC": "malloc"},  # what `serve` chooses by itself
    ) as process:
        assert process.stdout is not None
        found = READY.search(process.stdout.readline())
        assert found is not None, f"{name} did not start"
        try:
            yield Broker(name, found[1], int(found[2]))
        finally:
            process.terminate()


def main() -> int:
    """Run, print, and judge."""
    parser = argparse.ArgumentParser(prog="python -m interop.bench.permissions")
    parser.add_argument("--runs", type=int, default=7, help="of each workload and broker")
    options = parser.parse_args()
    program = build_amqpload()
    worst = 1.0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "definitions.json")
        path.write_text(json.dumps(definitions()))
        with (
            served("unchecked", ["-c", UNCHECKED], path) as without,
            served("checked", ["-m", "amqpbroker"], path) as checked,
        ):
            for workload in WORKLOADS:
                outcome = alternate(
                    program, workload, [without, checked],
                    runs=options.runs, messages=workload.messages,
                )  # fmt: skip
                if outcome.failure:
                    sys.exit(outcome.failure)
                metric = "pub_rate" if workload.mode == "pub" else "e2e_rate"
                rates = [
                    statistics.median(outcome.samples[broker.name][metric])
                    for broker in (without, checked)
                ]
                ratio = rates[1] / rates[0]
                worst = min(worst, ratio)
                title = workload.measures[0].title
                print(f"{title:12} {rates[1]:9,.0f}/s  without checks {rates[0]:9,.0f}/s"
                      f"  {ratio:.2f}x")  # fmt: skip
    return 0 if worst >= RATIO_MIN else 1


if __name__ == "__main__":
    sys.exit(main())
