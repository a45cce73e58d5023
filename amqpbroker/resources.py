"""Memory and disk of this machine, measured for the alarms (FEATURES A17.1, A17.2)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from amqpbroker.broker.alarms import Alarms
    from amqpbroker.config import Config

_PAGE_SIZE: Final = os.sysconf("SC_PAGE_SIZE")


def resident_size() -> int:
    """Return the bytes of memory that this process occupies; 0 where that cannot be told."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE_SIZE
    except OSError:
        return 0


def total_memory_size() -> int:
    """Return the bytes of memory that this process may occupy: a container's limit counts."""
    total = os.sysconf("SC_PHYS_PAGES") * _PAGE_SIZE
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(path).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdecimal():
            total = min(total, int(text))
    return total


def free_disk_size(path: Path) -> int:
    """Return the bytes that may still be written where ``path`` is."""
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


class ResourceMonitor:
    """Sets the alarms of a broker by what it measures."""

    def __init__(
        self,
        config: Config,
        alarms: Alarms,
        *,
        measure_memory: Callable[[], int] = resident_size,
        measure_disk: Callable[[Path], int] = free_disk_size,
    ) -> None:
        self._alarms = alarms
        self._memory_limit = int(config.memory_limit_ratio * total_memory_size())
        self._disk_free_limit = config.disk_free_limit
        self._data_dir = None if config.is_memory else config.data_dir
        self._measure_memory = measure_memory
        self._measure_disk = measure_disk

    def check(self) -> None:
        """Measure, and turn the alarms on or off."""
        self._alarms.set("memory", "monitor", self._measure_memory() > self._memory_limit)
        if self._data_dir is not None:
            try:
                is_short = self._measure_disk(self._data_dir) < self._disk_free_limit
            except OSError:
                is_short = True  # it is gone: nothing can be written there
            self._alarms.set("disk", "monitor", is_short)
