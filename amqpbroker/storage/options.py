"""The settings of the embedded log, with their defaults and what each costs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from amqpbroker.storage.memory import BATCH_SIZE_MAX, SEGMENT_SIZE, wall_clock_ms

if TYPE_CHECKING:
    from collections.abc import Callable

    from amqpbroker.storage.encryption import Keyring

FsyncPolicy: TypeAlias = Literal["always", "interval", "never"]
"""When an append counts as done, and what can be lost of what was done:

- ``always``: on the disk. Nothing is lost, whatever happens.
- ``interval``: handed to the operating system, on the disk within ``fsync_interval_s``. A killed
  process loses nothing; a power cut or a crash of the system the last interval.
- ``never``: handed to the operating system, which decides. A killed process loses nothing; a
  power cut what was appended since the last segment was full (those are always synced).
"""

READ_SIZE: Final = 1024 * 1024
INDEX_INTERVAL: Final = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """Sizes in bytes."""

    segment_size: int = SEGMENT_SIZE
    """Reserved ahead for a segment; a larger batch gets a larger segment."""

    reserve_size: int | None = None
    """Reserved at a time instead of a whole segment: for logs of which there are many."""

    batch_size_max: int = BATCH_SIZE_MAX
    """The sum of the record sizes of one batch, at most."""

    fsync: FsyncPolicy = "always"
    fsync_interval_s: float = 0.2

    keyring: Keyring | None = None
    """Encrypt what is written from now on; needed as long as an encrypted segment lives."""

    read_size: int = READ_SIZE
    """Read from a file at once; a reader holds the batches of one such piece."""

    index_interval: int = INDEX_INTERVAL
    """One index entry for so much of a segment."""

    now_ms: Callable[[], int] = wall_clock_ms
    monotonic: Callable[[], float] = time.monotonic
