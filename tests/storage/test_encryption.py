"""Keys and the sealing of one payload; logs under encryption are in test_log_contract."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from amqpbroker.storage.batch import Damaged
from amqpbroker.storage.encryption import KEY_SIZE, Keyring, new_key_line
from amqpbroker.storage.log import LogUnavailable

if TYPE_CHECKING:
    from pathlib import Path

LOG, SALT = UUID(int=1), b"s" * 16
RING = Keyring({1: b"1" * KEY_SIZE, 2: b"2" * KEY_SIZE})


def key_file(path: Path, text: str) -> Path:
    file = path / "keys"
    file.write_text(text)
    file.chmod(0o600)
    return file


def test_a_sealed_payload_opens_with_the_same_key_and_header() -> None:
    cipher, _ = RING.cipher(1, SALT, LOG)
    sealed = cipher.seal(b"secret", b"header")
    assert b"secret" not in sealed
    assert len(sealed) == 6 + cipher.overhead
    assert cipher.unseal(sealed, b"header") == b"secret"


@pytest.mark.parametrize(
    ("key_id", "salt", "log", "header"),
    [
        (2, SALT, LOG, b"header"),
        (1, b"t" * 16, LOG, b"header"),
        (1, SALT, UUID(int=2), b"header"),
        (1, SALT, LOG, b"another"),
    ],
)
def test_nothing_else_opens_it(key_id: int, salt: bytes, log: UUID, header: bytes) -> None:
    sealed = RING.cipher(1, SALT, LOG)[0].seal(b"secret", b"header")
    with pytest.raises(Damaged):
        RING.cipher(key_id, salt, log)[0].unseal(sealed, header)


def test_too_short_to_be_sealed_is_damaged() -> None:
    with pytest.raises(Damaged):
        RING.cipher(1, SALT, LOG)[0].unseal(b"short", b"")


def test_the_check_bytes_tell_keys_apart() -> None:
    assert RING.cipher(1, SALT, LOG)[1] != RING.cipher(2, SALT, LOG)[1]


def test_a_key_file_is_read_and_the_highest_id_is_the_newest(tmp_path: Path) -> None:
    text = "# ours\n" + new_key_line(7) + "\n" + new_key_line(3)
    ring = Keyring.load(key_file(tmp_path, text))
    assert ring.newest == 7
    assert 3 in ring
    assert 1 not in ring


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no key"),
        ("1 abcd", "instead of 32"),
        ("x " + "00" * 32, "line 1: expected"),
        ("1", "line 1: expected"),
        ("0 " + "00" * 32, "key id 0"),
        (2 * ("1 " + "00" * 32 + "\n"), "line 2: key id 1 comes twice"),
    ],
)
def test_a_bad_key_file_is_refused_with_the_reason(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(LogUnavailable, match=message):
        Keyring.load(key_file(tmp_path, text))


def test_a_missing_key_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LogUnavailable, match="cannot read the key file"):
        Keyring.load(tmp_path / "none")


def test_a_key_file_that_others_read_is_warned_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = key_file(tmp_path, new_key_line(1))
    file.chmod(0o644)
    Keyring.load(file)
    assert "chmod 600" in caplog.text


def test_keys_are_never_shown() -> None:
    assert repr(RING) == "Keyring(ids [1, 2])"
