"""What a broker takes while something goes on: memory at its peak, and disk."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from interop.edges.broker import Broker

INTERVAL_S: Final = 0.2
BLOCK_SIZE: Final = 512
"""Bytes of what ``st_blocks`` counts."""


class Peak:
    """The highest memory seen so far, in MiB; 0 where it cannot be seen."""

    def __init__(self) -> None:
        self.rss_mib = 0.0


@contextlib.contextmanager
def peak_memory(broker: Broker) -> Iterator[Peak]:
    """Look at a broker's memory several times a second while the context lasts."""
    peak, over = Peak(), threading.Event()

    def look() -> None:
        peak.rss_mib = max(peak.rss_mib, broker.rss_mib() or 0.0)

    def watch() -> None:
        while not over.wait(INTERVAL_S):
            look()

    watcher = threading.Thread(target=watch)
    look()
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()
        look()


def disk_mib(folder: Path) -> float:
    """Return what the files in a folder take on the disk, in MiB; some may vanish meanwhile."""
    size = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            size += path.stat().st_blocks * BLOCK_SIZE
    return size / 2**20
