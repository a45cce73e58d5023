"""The defaults are the safe ones."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from amqpbroker.storage.options import LogOptions


def test_every_append_is_synced_unless_told_otherwise() -> None:
    options = LogOptions()
    assert options.fsync == "always"
    assert options.keyring is None
    assert options.batch_size_max <= options.segment_size


def test_options_do_not_change_under_an_open_log() -> None:
    with pytest.raises(FrozenInstanceError):
        LogOptions().fsync = "never"  # type: ignore[misc]
