"""The errors of a log say what happened, where, and what to do."""

from __future__ import annotations

import pytest

from amqpbroker.storage.log import (
    AppendRejected,
    AppendTimeout,
    Corrupt,
    Fenced,
    LogError,
    LogMissing,
    LogUnavailable,
    Truncated,
)


def test_corrupt_names_file_position_and_the_repair_command() -> None:
    error = Corrupt("/data/0.log", 96, "wrong checksum")
    assert str(error).startswith("/data/0.log, position 96: wrong checksum")
    assert "`amqpbroker log repair`" in str(error)
    assert (error.path, error.position, error.reason) == ("/data/0.log", 96, "wrong checksum")


def test_damage_without_a_place_names_the_file_only() -> None:
    assert str(Corrupt("/data/0.log", None, "missing")).startswith("/data/0.log: missing;")


def test_truncated_tells_where_the_log_starts() -> None:
    error = Truncated(3, 7)
    assert str(error) == "offset 3 was trimmed away, the log starts at 7"
    assert (error.offset, error.first) == (3, 7)


@pytest.mark.parametrize(
    "kind",
    [AppendTimeout, Fenced, AppendRejected, Truncated, Corrupt, LogMissing, LogUnavailable],
)
def test_every_error_is_a_leaf_of_one_tree(kind: type[Exception]) -> None:
    assert kind.__bases__ == (LogError,)
