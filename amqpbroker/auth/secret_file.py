"""A secret that must outlive the process, in a file that only its owner may read."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

SECRET_SIZE: Final = 32
"""Bytes."""


def load_secret(path: Path) -> bytes:
    """Return the secret in ``path``, a new one if there is no such file.

    A crash leaves a whole file or none, and at worst another secret at the next start.

    :raises OSError: the file cannot be read or written, or holds something else.
    """
    try:
        secret = path.read_bytes()
    except FileNotFoundError:
        return _create(path)
    if len(secret) != SECRET_SIZE:
        raise OSError(
            f"{path} holds {len(secret)} bytes and not {SECRET_SIZE}: remove it to get a new one"
        )
    return secret


def _create(path: Path) -> bytes:
    secret = secrets.token_bytes(SECRET_SIZE)
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, secret)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    new.replace(path)
    return secret
