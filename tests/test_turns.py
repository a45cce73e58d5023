"""Those who send much share one turn: vhosts among themselves, then the connections of each."""

from __future__ import annotations

import pytest

from amqpbroker.broker.vhost import VHost
from amqpbroker.turns import BUSY_S, READ_SIZE_MAX, READ_SIZE_MIN, Turn, Turns

LOUD, QUIET = VHost("loud"), VHost("quiet")


@pytest.fixture
def turns() -> Turns:
    return Turns()


def busy(turns: Turns, vhost: VHost, count: int = 1) -> list[Turn]:
    """Return connections that have just filled what they may read."""
    connections = [Turn(turns) for _ in range(count)]
    for turn in connections:
        turn.used(READ_SIZE_MAX, READ_SIZE_MAX, vhost, 0.0)
    return connections


def test_who_is_alone_has_it_all(turns: Turns) -> None:
    assert Turn(turns).size(LOUD) == READ_SIZE_MAX
    (one,) = busy(turns, LOUD)
    assert one.size(LOUD) == READ_SIZE_MAX


def test_small_reads_do_not_count(turns: Turns) -> None:
    quiet = Turn(turns)
    quiet.used(READ_SIZE_MAX // 5, READ_SIZE_MAX, QUIET, 0.0)
    assert busy(turns, LOUD)[0].size(LOUD) == READ_SIZE_MAX


def test_connections_of_a_vhost_share(turns: Turns) -> None:
    connections = busy(turns, LOUD, 4)
    assert [turn.size(LOUD) for turn in connections] == [READ_SIZE_MAX // 4] * 4


def test_a_vhost_gets_no_more_for_having_more_connections(turns: Turns) -> None:
    (other,) = busy(turns, QUIET)
    many = busy(turns, LOUD, 8)
    assert other.size(QUIET) == READ_SIZE_MAX // 2
    assert sum(turn.size(LOUD) for turn in many) == READ_SIZE_MAX // 2


def test_a_newcomer_shares_with_the_vhosts_that_are_busy(turns: Turns) -> None:
    busy(turns, LOUD, 8)
    assert Turn(turns).size(QUIET) == READ_SIZE_MAX // 2


def test_nobody_gets_less_than_the_least(turns: Turns) -> None:
    many = busy(turns, LOUD, 1000)
    assert many[0].size(LOUD) == READ_SIZE_MIN


def test_who_has_stopped_counts_no_longer(turns: Turns) -> None:
    one, other = busy(turns, LOUD, 2)
    other.used(READ_SIZE_MAX, READ_SIZE_MAX, LOUD, BUSY_S)
    for turn in (one, other):
        turn.tick(BUSY_S + 0.1)
    assert other.size(LOUD) == READ_SIZE_MAX
    other.rest()
    other.rest()
    assert turns.size(QUIET) == READ_SIZE_MAX


def test_a_limit_makes_reads_smaller(turns: Turns) -> None:
    turn = Turn(turns)
    turn.size_max = READ_SIZE_MIN
    assert turn.size(LOUD) == READ_SIZE_MIN
