"""Alarms: on as soon as one source finds a resource short, off when none does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from amqpbroker.broker.alarms import Alarms

if TYPE_CHECKING:
    import pytest


def test_there_is_none_at_first() -> None:
    alarms = Alarms()
    alarms.set("disk", "log", False)
    assert not alarms
    assert list(alarms.short) == []


def test_each_resource_has_its_own() -> None:
    alarms = Alarms()
    alarms.set("disk", "log", True)
    assert alarms.reason == "low on disk"
    alarms.set("memory", "monitor", True)
    assert alarms.reason == "low on memory & disk"
    alarms.set("disk", "log", False)
    assert alarms.reason == "low on memory"


def test_it_ends_with_the_last_who_finds_it_short() -> None:
    alarms = Alarms()
    for source in ("log", "monitor"):
        alarms.set("disk", source, True)
    alarms.set("disk", "log", False)
    alarms.set("disk", "log", False)
    assert alarms
    alarms.set("disk", "monitor", False)
    assert not alarms


def test_beginning_and_end_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    alarms = Alarms()
    for is_short in (True, True, False, False):
        for source in ("log", "monitor"):
            alarms.set("disk", source, is_short)
    assert [record.getMessage() for record in caplog.records] == [
        "alarm: low on disk, publishers wait",
        "alarm over: disk",
    ]


def test_the_first_to_begin_and_the_last_to_end_are_told() -> None:
    told: list[bool] = []
    alarms = Alarms(lambda: told.append(bool(alarms)))
    for is_short in (True, False):
        alarms.set("disk", "log", is_short)
        alarms.set("memory", "monitor", is_short)
    assert told == [True, False]


def test_what_fails_is_not_called_short(caplog: pytest.LogCaptureFixture) -> None:
    alarms = Alarms()
    alarms.set("storage", "log", True)
    assert alarms.reason == "storage cannot be written"
    alarms.set("memory", "monitor", True)
    assert alarms.reason == "low on memory, storage cannot be written"
    assert list(alarms.short) == ["memory", "storage"]
    assert caplog.messages[0] == "alarm: storage cannot be written, publishers wait"


async def test_whoever_waits_goes_on_when_all_are_off() -> None:
    alarms = Alarms()
    await alarms.wait_until_clear()
    alarms.set("disk", "log", True)
    alarms.set("memory", "monitor", True)
    gone_on = []

    async def wait() -> None:
        await alarms.wait_until_clear()
        gone_on.append(True)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        alarms.set("disk", "log", False)
        await anyio.wait_all_tasks_blocked()
        assert not gone_on
        alarms.set("memory", "monitor", False)
    assert gone_on


async def test_an_alarm_that_is_on_again_at_once_is_waited_for() -> None:
    alarms = Alarms()
    alarms.set("disk", "log", True)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(alarms.wait_until_clear)
        await anyio.wait_all_tasks_blocked()
        alarms.set("disk", "log", False)
        alarms.set("disk", "log", True)
        await anyio.wait_all_tasks_blocked()
        assert anyio.get_running_tasks()
        alarms.set("disk", "log", False)
