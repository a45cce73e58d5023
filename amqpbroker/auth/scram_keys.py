"""What a server keeps to check SCRAM, as one text per user and mechanism (RFC 5803)::

    SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>        base64, as PostgreSQL has it

The keys verify a client without being able to log in as it. They come from the password alone, so
they can only be made when it is set, not from another hash.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

SCRAM_SHA_256: Final = "SCRAM-SHA-256"
SCRAM_SHA_512: Final = "SCRAM-SHA-512"
SCRAM_MECHANISMS: Final = (SCRAM_SHA_256, SCRAM_SHA_512)

ITERATION_COUNTS: Final = range(4096, 10_000_001)
SALT_SIZE_MIN: Final = 12
"""Bytes. Both limits are scramp's, which refuses a login outside of them."""


def load_scramp() -> None:
    """Import scramp now, where it holds up no client: it and its X.509 parser take 85 ms."""
    import scramp  # type: ignore[import-untyped]  # noqa: F401


class ScramKeys(NamedTuple):
    """The four values in the order in which ``scramp`` wants them."""

    salt: bytes
    stored_key: bytes
    server_key: bytes
    iterations: int

    def __repr__(self) -> str:
        return f"ScramKeys(iterations={self.iterations})"


def make_scram_keys(mechanism: str, password: str, iterations: int) -> str:
    """Return the text to store (10 ms for 32,768 iterations).

    :raises ValueError: the password has characters that SCRAM forbids, or there are under 4096
        iterations.
    """
    import scramp  # see load_scramp

    try:
        info = scramp.ScramMechanism(mechanism).make_auth_info(password, iterations)
    except scramp.ScramException as error:
        raise ValueError(f"password cannot be used with {mechanism}: {error}") from None
    return format_scram_keys(mechanism, ScramKeys(*info))


def format_scram_keys(mechanism: str, keys: ScramKeys) -> str:
    """Return the text to store."""
    salt, stored, server = (b64encode(part).decode() for part in keys[:3])
    return f"{mechanism}${keys.iterations}:{salt}${stored}:{server}"


def find_scram_keys(texts: Iterable[str], mechanism: str) -> ScramKeys | None:
    """Return the keys for ``mechanism``, or None: there are none, or they are unusable."""
    for text in texts:
        name, _, rest = text.partition("$")
        if name == mechanism:
            return _parse(rest)
    return None


def _parse(text: str) -> ScramKeys | None:
    try:
        cost, keys = text.split("$")
        iterations, salt = cost.split(":")
        stored, server = keys.split(":")
        found = ScramKeys(
            b64decode(salt, validate=True),
            b64decode(stored, validate=True),
            b64decode(server, validate=True),
            int(iterations),
        )
    except ValueError:
        return None
    is_usable = found.iterations in ITERATION_COUNTS and len(found.salt) >= SALT_SIZE_MIN
    return found if is_usable else None
