"""What goes wrong in one life of the broker, and how it ends."""

from __future__ import annotations

import errno
import sqlite3
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from random import Random

INFINITY: Final = float("inf")
End = Literal["clean", "kill", "power cut"]

KINDS: Final = (
    *("cut",) * 3, *("answer",) * 2, *("fault",) * 2, "full", "catalog", "nothing",
)  # fmt: skip
ANSWERS_MAX: Final = 30
"""Confirms and commits in a life, about."""
OPERATIONS_MAX: Final = 80
"""Operations of the disk in a life, about."""
COMMITS_MAX: Final = 30
"""Commits of the catalog in the first life, about."""
SPILL_CAPACITY_MAX: Final = 20_000
"""Bytes of a disk for transient messages that is small."""
ROOM_SIZE_MAX: Final = 6_000
"""Bytes left on a disk that is filling up."""


@dataclass(slots=True)
class Plan:
    """Times are seconds of this life, operations and commits count from its beginning."""

    duration_s: float
    end: End = "kill"
    cut_at: int | None = None
    """The operation of the disk that is the last one."""
    faults: dict[int, int] = field(default_factory=dict)
    """Operation → error."""
    crash_at_answer: int = 0
    """The confirm or commit that is the last one; 0 for none."""
    full_from_s: float = INFINITY
    full_until_s: float = 0.0
    room_size: int = 0
    crash_at_commit: int | None = None
    """The commit of the catalog that is the last one, seen by nobody."""
    is_commit_kept: bool = False
    commit_errors: list[int] = field(default_factory=list)
    """Code by commit, 0 for none."""
    spill_cut_at: int | None = None
    """The operation of the disk of transient messages at which the process dies."""
    spill_faults: dict[int, int] = field(default_factory=dict)
    spill_capacity: int | None = None
    """Bytes; None: as much as it takes."""

    @property
    def is_harmless(self) -> bool:
        """Whether nothing happens before the end."""
        return (
            self.cut_at is None
            and not self.crash_at_answer
            and not self.faults
            and self.full_from_s == INFINITY
            and self.crash_at_commit is None
            and not self.commit_errors
        )


def some_operation(random: Random) -> int:
    """Return a number, early ones more often: recovery is at the beginning."""
    if random.random() < 0.5:
        return int(OPERATIONS_MAX ** random.random()) - 1
    return random.randrange(OPERATIONS_MAX)


def draw_spill(plan: Plan, random: Random) -> None:
    """Draw what goes wrong with transient messages; nothing that matters in a life without harm."""
    plan.spill_capacity = random.choice((None, None, 0, random.randrange(SPILL_CAPACITY_MAX)))
    if plan.is_harmless:
        return
    if random.random() < 0.2:
        plan.spill_cut_at = some_operation(random)
    elif random.random() < 0.3:
        plan.spill_faults[some_operation(random)] = random.choice((errno.EIO, errno.ENOSPC))


def draw(random: Random, *, is_first: bool) -> Plan:
    """Draw what goes wrong."""
    plan = Plan(duration_s=random.choice((0.1, 0.5, 1.0, 2.0, 4.0)))
    plan.end = random.choice(("clean", "kill", "power cut"))
    kind = random.choice(KINDS)
    if kind == "cut":
        plan.cut_at = some_operation(random)
    elif kind == "answer":
        plan.crash_at_answer = int(ANSWERS_MAX ** random.random())
    elif kind == "fault":
        for _ in range(random.choice((1, 1, 2))):
            plan.faults[some_operation(random)] = random.choice((errno.EIO, errno.ENOSPC))
    elif kind == "full":
        plan.full_from_s = random.random() * plan.duration_s
        plan.full_until_s = plan.full_from_s + random.random() * 3
        plan.duration_s += 3
        plan.room_size = random.randrange(ROOM_SIZE_MAX)
    elif kind == "catalog":
        commit = random.randrange(COMMITS_MAX if is_first else 3)
        if random.random() < 0.5:
            plan.crash_at_commit = commit
            plan.is_commit_kept = random.random() < 0.5
        else:
            code = random.choice((sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR))
            plan.commit_errors = [0] * commit + [code] * random.choice((1, 2))
    return plan
