"""A secret is made once and read ever after."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpbroker.auth.secret_file import SECRET_SIZE, load_secret

if TYPE_CHECKING:
    from pathlib import Path


def test_a_secret_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    secret = load_secret(path)
    assert load_secret(path) == secret
    assert len(secret) == SECRET_SIZE
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_crash_left_is_no_secret(tmp_path: Path) -> None:
    (tmp_path / "secret.new").write_bytes(b"half")
    assert len(load_secret(tmp_path / "secret")) == SECRET_SIZE


def test_another_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"short")
    with pytest.raises(OSError, match="holds 5 bytes and not 32: remove it"):
        load_secret(path)
    assert path.read_bytes() == b"short"
