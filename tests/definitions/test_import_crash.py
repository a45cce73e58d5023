"""kill -9 in the midst of an import: all of it is there afterwards, or nothing (A14).

More rounds: ``python -m interop.crash --imports 100``.
"""

from __future__ import annotations

import os
from random import SystemRandom
from typing import TYPE_CHECKING

from interop.crash.imports import play_imports

if TYPE_CHECKING:
    from pathlib import Path

ROUNDS = int(os.environ.get("AMQPBROKER_TEST_CRASHES", "2"))


def test_an_import_that_is_killed_is_whole_or_not_there(tmp_path: Path) -> None:
    seed = SystemRandom().randrange(1 << 32)
    result = play_imports(tmp_path, ROUNDS, 2000, seed)
    assert not result.problems, f"seed {seed}: {result}"
    assert result.kept + result.gone == ROUNDS + 1
    assert result.kept >= 1
