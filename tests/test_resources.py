"""Alarms by what this machine has left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from amqpbroker.broker.alarms import Alarms
from amqpbroker.config import Config
from amqpbroker.resources import (
    ResourceMonitor,
    free_disk_size,
    resident_size,
    total_memory_size,
)


class Machine:
    """What the monitor measures."""

    def __init__(self, **settings: Any) -> None:
        self.memory = 0
        self.disk: int | None = 1 << 40
        self.alarms = Alarms()
        self.monitor = ResourceMonitor(
            Config(**settings),
            self.alarms,
            measure_memory=lambda: self.memory,
            measure_disk=self._free,
        )

    def _free(self, _path: Path) -> int:
        if self.disk is None:
            raise FileNotFoundError
        return self.disk

    def short(self) -> list[str]:
        self.monitor.check()
        return list(self.alarms.short)


def test_this_process_occupies_some_of_the_memory() -> None:
    assert 1 << 20 < resident_size() < total_memory_size()


def test_there_is_room_on_the_disk_or_not(tmp_path: Path) -> None:
    assert free_disk_size(tmp_path) >= 0
    with pytest.raises(OSError, match="No such file"):
        free_disk_size(tmp_path / "none")


def test_where_memory_cannot_be_told_it_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_arguments: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr("builtins.open", unknown)
    assert resident_size() == 0


def test_a_containers_limit_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda _path, encoding: "1000000\n")
    assert total_memory_size() == 1_000_000


def test_a_container_without_a_limit_has_all_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda _path, encoding: "max\n")
    assert total_memory_size() > 1_000_000


def test_a_process_that_grew_too_large_is_short_of_memory() -> None:
    machine = Machine(memory_limit_ratio=0.5)
    machine.memory = total_memory_size() // 2 - 1
    assert machine.short() == []
    machine.memory += 2
    assert machine.short() == ["memory"]
    machine.memory -= 2
    assert machine.short() == []


def test_a_disk_below_its_limit_is_short() -> None:
    machine = Machine(disk_free_limit=1000)
    machine.disk = 999
    assert machine.short() == ["disk"]
    machine.disk = 1000
    assert machine.short() == []


def test_a_data_directory_that_has_gone_is_a_full_disk() -> None:
    machine = Machine()
    machine.disk = None
    assert machine.short() == ["disk"]
    machine.disk = 1 << 40
    assert machine.short() == []


def test_in_memory_the_disk_does_not_matter() -> None:
    machine = Machine(is_memory=True)
    machine.disk = 0
    assert machine.short() == []
