"""The parts of the scale scenarios: the client that declares, what is watched, what is compared."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

import pytest
from pamqp import commands

from interop.edges import frames
from interop.edges.broker import Broker, start_amqpbroker
from interop.scale import backlog, idle_queues, replay
from interop.scale.client import DeclareClient, DeclareFailed, declare_frame
from interop.scale.watch import disk_mib, peak_memory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = start_amqpbroker(tmp_path_factory.mktemp("scale"))
    yield broker
    broker.stop()
    broker.discard_log()


class Growing:
    """Stands for a broker whose memory is looked at."""

    def __init__(self, *sizes_mib: float) -> None:
        self._sizes_mib = list(sizes_mib)

    def rss_mib(self) -> float:
        return self._sizes_mib.pop(0)


def test_a_declare_is_what_other_clients_send() -> None:
    expected = commands.Queue.Declare(queue="queue-1", durable=True)
    assert declare_frame("queue-1") == frames.method(expected)


@pytest.mark.parametrize("window", [1, 2, 7, 1000])
def test_every_declare_is_answered(broker: Broker, window: int) -> None:
    names = [f"w{window}-{number}" for number in range(25)]
    with DeclareClient(broker) as client:
        assert client.declare(names, window) == 25
        assert client.declare(names, window) == 25
        client.delete(names)


def test_a_refusal_is_told(broker: Broker) -> None:
    with DeclareClient(broker) as client, pytest.raises(DeclareFailed, match=r"Channel\.Close"):
        client.declare(["amq.reserved"], 1)


def test_rates_are_compared_when_there_is_something_to_compare_with(broker: Broker) -> None:
    rates = idle_queues.declare_rates(broker, 20)
    assert min(rates) > 0
    assert [row.ok for row in idle_queues.compare_rates(rates, None)] == [None, None]
    rows = idle_queues.compare_rates((400.0, 399.0), (100.0, 100.0))
    assert [row.ok for row in rows] == [True, False]


def test_the_highest_memory_counts() -> None:
    with peak_memory(cast("Any", Growing(1.0, 3.0))) as peak:
        pass
    assert peak.rss_mib == 3.0


def test_disk_is_what_is_allocated(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "sparse").write_bytes(b"")
    os.truncate(tmp_path / "sub" / "sparse", 1 << 30)
    before = disk_mib(tmp_path)
    assert before < 1
    (tmp_path / "sub" / "full").write_bytes(os.urandom(1 << 20))
    assert disk_mib(tmp_path) >= before + 0.9


def test_a_backlog_is_held_against_the_oracles() -> None:
    theirs = backlog.Figures(10_000.0, 20_000.0, 2000.0)
    good = backlog.compare(backlog.Figures(50_000.0, 60_000.0, 1000.0), theirs)
    bad = backlog.compare(backlog.Figures(49_000.0, 59_000.0, 1001.0), theirs)
    assert [row.ok for row in good] == [True, True, True]
    assert [row.ok for row in bad] == [False, False, False]
    assert [row.ok for row in backlog.compare(theirs, None)] == [None, None, None]


def test_memory_that_cannot_be_seen_has_no_limit() -> None:
    ours, theirs = backlog.Figures(5.0, 3.0, 700.0), backlog.Figures(1.0, 1.0, 0.0)
    assert [row.ok for row in backlog.compare(ours, theirs)] == [True, True, None]


def test_replay_has_limits_for_this_broker_only() -> None:
    figures = replay.Figures(1000, 2000, replay.FIRST_MS_MAX + 1, replay.GROWTH_MIB_MAX - 1)
    ours, theirs = replay.rows_of(figures, ""), replay.rows_of(figures, "theirs: ")
    assert [row.ok for row in ours[2:]] == [False, True]
    assert all(not row.limit for row in theirs)
