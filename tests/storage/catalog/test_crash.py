"""kill -9 in the midst of changes: what was acknowledged is there, and ids go on above."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from amqpbroker.storage.catalog import Catalog

if TYPE_CHECKING:
    from pathlib import Path

ROUNDS = int(os.environ.get("AMQPBROKER_TEST_CRASHES", "4"))


def said_until_killed(path: Path, lines_count: int) -> dict[str, set[int]]:
    """Run the writer, kill it after so many lines; return word → ids."""
    arguments = [sys.executable, "-m", "tests.storage.catalog.crash_writer", str(path)]
    said: dict[str, set[int]] = {"id": set(), "put": set(), "deleted": set()}
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for number, line in enumerate(writer.stdout):
            word, queue_id = line.split()
            said[word].add(int(queue_id))
            if number == lines_count:
                writer.kill()
    return said


async def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    acknowledged: set[int] = set()
    used: set[int] = set()
    unknown: set[int] = set()
    for number in range(ROUNDS):
        said = said_until_killed(path, 50 + 37 * number % 400)
        assert not said["id"] & used, "an id was used twice"
        used |= said["id"]
        acknowledged |= said["put"] - said["deleted"]
        # put is acknowledged, its delete may or may not have come through
        unknown |= {queue_id for queue_id in said["put"] if queue_id % 3 == 0}
        async with await Catalog.open(path) as catalog:
            snapshot = await catalog.load()
            first = catalog.next_queue_id()
        stored = {row.id for row in snapshot.queues}
        assert acknowledged - unknown <= stored <= used - said["deleted"]
        assert {row.destination for row in snapshot.bindings} == {f"q{n}" for n in stored}
        assert first > max(used)
        used.add(first)
