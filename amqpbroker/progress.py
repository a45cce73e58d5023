"""Progress of long work on the terminal, for whoever waits for it.

Nothing is shown for work that takes less than a second, and no bar where nobody watches: then a log
line every few seconds says how far it is.
"""

from __future__ import annotations

import atexit
import logging
import sys
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import Progress, TaskID

logger = logging.getLogger("amqpbroker.progress")

PATIENCE_S: Final = 1.0
"""Work that takes less shows nothing."""
LOG_INTERVAL_S: Final = 5.0


class WorkProgress:
    """A piece of work, counted in ``unit``."""

    def __init__(
        self,
        what: str,
        unit: str,
        clock: Callable[[], float] = time.monotonic,
        is_terminal: bool | None = None,
    ) -> None:
        self._what = what
        self._unit = unit
        self._clock = clock
        self._is_terminal = sys.stderr.isatty() if is_terminal is None else is_terminal
        self._started_at: float | None = None
        self._shown_at = 0.0
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def update(self, done: int, total: int) -> None:
        """Take note that ``done`` of ``total`` are done."""
        now = self._clock()
        if self._started_at is None:
            self._started_at = now
            self._shown_at = now
        is_over = done >= total
        if now - self._started_at < PATIENCE_S:
            return
        if self._is_terminal:
            self._draw(done, total, is_over=is_over)
        elif now - self._shown_at >= LOG_INTERVAL_S:
            self._shown_at = now
            logger.info("%s: %d of %d %s", self._what, done, total, self._unit)

    def _draw(self, done: int, total: int, *, is_over: bool) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import Progress

            self._bar = Progress(console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(self._what, total=total)
            self._bar.start()
            atexit.register(self._bar.stop)  # should the work fail, the terminal is whole again
        assert self._task is not None
        self._bar.update(self._task, completed=done)
        if is_over:
            self._bar.stop()
