"""Encryption at rest: AES-256-GCM on every batch, keys in a file, rotation by writing on.

The key file has one key per line, ``<key id> <64 hex digits>``; blank lines and ``#`` comments
are ignored. The highest id is the newest key: what is written from the next opening on uses it,
what was written before is read with its own key as long as that stays in the file. Old segments
die as their messages do, so a key can leave the file when no segment names it any more
(`amqpbroker log verify` lists the ids in use).

No key of the file touches a message. Each segment draws a random salt, and HKDF-SHA256 makes the
key of that segment from key, salt and the log's incarnation; so the bound on random nonces under
one key (2³² batches, NIST SP 800-38D) is a bound per segment, which no segment comes near. The
same derivation gives eight *check bytes* that stand in the segment's header: with them a wrong
key is told from a damaged disk before anything is read.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from amqpbroker.storage.batch import Damaged
from amqpbroker.storage.log import LogUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

KEY_SIZE: Final = 32
"""Bytes: AES-256."""
SALT_SIZE: Final = 16
CHECK_SIZE: Final = 8
KEY_ID_MAX: Final = 2**32 - 1
NO_KEY: Final = 0
"""The key id of a segment that is not encrypted."""

_NONCE_SIZE: Final = 12
_TAG_SIZE: Final = 16

_logger = logging.getLogger(__name__)


class SegmentCipher:
    """Seals and unseals the payloads of one segment; see `batch.Cipher`."""

    overhead: int = _NONCE_SIZE + _TAG_SIZE

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)

    def seal(self, payload: bytes, associated: bytes) -> bytes:
        """See `batch.Cipher.seal`."""
        nonce = os.urandom(_NONCE_SIZE)
        return nonce + self._aead.encrypt(nonce, payload, associated)

    def unseal(self, sealed: bytes, associated: bytes) -> bytes:
        """See `batch.Cipher.unseal`."""
        if len(sealed) < self.overhead:
            raise Damaged("an encrypted batch without nonce and tag")
        try:
            return self._aead.decrypt(sealed[:_NONCE_SIZE], sealed[_NONCE_SIZE:], associated)
        except InvalidTag:
            raise Damaged("an encrypted batch that its key does not open") from None


class Keyring:
    """The keys of a key file, by id."""

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        """Take ``keys``; raise ValueError where there is none, or one is no key."""
        if not keys:
            raise ValueError("no key")
        for key_id, key in keys.items():
            if not NO_KEY < key_id <= KEY_ID_MAX:
                raise ValueError(f"key id {key_id} is not in 1 to {KEY_ID_MAX}")
            if len(key) != KEY_SIZE:
                raise ValueError(f"key {key_id} has {len(key)} bytes instead of {KEY_SIZE}")
        self._keys = dict(keys)
        self.newest = max(keys)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Keyring:
        """Read a key file. Raises LogUnavailable with the line that is wrong."""
        path = Path(path)
        try:
            text = path.read_text("ascii")
            mode = path.stat().st_mode
        except (OSError, UnicodeDecodeError) as error:
            raise LogUnavailable(f"cannot read the key file {path}: {error}") from error
        if mode & 0o077:
            _logger.warning("others can read the key file %s: chmod 600 it", path)
        keys: dict[int, bytes] = {}
        for number, line in enumerate(text.splitlines(), 1):
            content = line.partition("#")[0].split()
            if content:
                key_id, key = _parse(content, f"{path}, line {number}")
                if key_id in keys:
                    raise LogUnavailable(f"{path}, line {number}: key id {key_id} comes twice")
                keys[key_id] = key
        try:
            return cls(keys)
        except ValueError as error:
            raise LogUnavailable(f"the key file {path} is of no use: {error}") from None

    def cipher(self, key_id: int, salt: bytes, incarnation: UUID) -> tuple[SegmentCipher, bytes]:
        """Return the cipher of a segment and its check bytes. Raises KeyError: no such id."""
        derive = HKDF(SHA256(), KEY_SIZE + CHECK_SIZE, salt, b"segment " + incarnation.bytes)
        derived = derive.derive(self._keys[key_id])
        return SegmentCipher(derived[:KEY_SIZE]), derived[KEY_SIZE:]

    def __contains__(self, key_id: int) -> bool:
        return key_id in self._keys

    def __repr__(self) -> str:
        return f"Keyring(ids {sorted(self._keys)})"  # never the keys


def new_key_line(key_id: int) -> str:
    """Return a line for a key file, with a fresh key."""
    return f"{key_id} {os.urandom(KEY_SIZE).hex()}\n"


def _parse(content: list[str], where: str) -> tuple[int, bytes]:
    try:
        key_id, key = content
        return int(key_id), bytes.fromhex(key)
    except ValueError:
        # Without the line: it may hold a key with a typing error.
        raise LogUnavailable(f"{where}: expected '<key id> <{2 * KEY_SIZE} hex digits>'") from None
