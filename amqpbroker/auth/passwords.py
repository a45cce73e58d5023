"""Password hashes: making, checking, and remembering what was checked.

Two families, told apart by ``hashing_algorithm``::

    rabbit_password_hashing_sha256 | _sha512 | _md5      RabbitMQ's (FEATURES A14.3)
        base64( salt, 4 bytes | H( salt | password in UTF-8 ) )
    amqpbroker_password_hashing_scrypt                   ours, the default for new users
        $scrypt$ln=14,r=8,p=1$<salt, base64>$<key, base64>

RabbitMQ's are what definitions files carry, and they are fast, so a stolen one is guessed fast.
scrypt is slow on purpose: 2**14 blocks cost some 50 ms of processor and 16 MiB. RabbitMQ cannot
read it; the setting ``password_hashing_module`` chooses a ``rabbit_…`` one where definitions must
go back.

A check is a pure function that a server may run in a thread (``hashlib.scrypt`` releases the GIL);
:meth:`Passwords.is_slow` says beforehand whether it is worth one. A check that succeeded is
remembered, so a client that reconnects 10,000 times costs one scrypt.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from threading import Lock
from typing import Final, NamedTuple

SHA256: Final = "rabbit_password_hashing_sha256"
SHA512: Final = "rabbit_password_hashing_sha512"
MD5: Final = "rabbit_password_hashing_md5"
SCRYPT: Final = "amqpbroker_password_hashing_scrypt"

RABBIT_DIGESTS: Final = {SHA256: "sha256", SHA512: "sha512", MD5: "md5"}
ALGORITHMS: Final = frozenset({*RABBIT_DIGESTS, SCRYPT})

SCRYPT_START: Final = "$scrypt$"

RABBIT_SALT_SIZE: Final = 4
SCRYPT_SALT_SIZE: Final = 16
SCRYPT_KEY_SIZE: Final = 32
SCRYPT_MEMORY_SIZE_MAX: Final = 256 * 1024 * 1024
"""Bytes: a hash from a file that asks for more is treated as one that no password matches."""
SCRYPT_PARALLEL_MAX: Final = 16

REMEMBERED_COUNT_MAX: Final = 4096
"""Successful slow checks kept, 32 bytes each and the dict's overhead: under 1 MiB."""


class ScryptCost(NamedTuple):
    """What one scrypt takes: ``128 * r * 2**ln`` bytes, and time in proportion to that times p."""

    ln: int = 14
    r: int = 8
    p: int = 1

    @property
    def memory_size(self) -> int:
        """Bytes."""
        return 128 * self.r * (1 << self.ln)

    @property
    def is_bearable(self) -> bool:
        """Whether a hash of this cost may be computed at all."""
        in_range = 1 <= self.ln <= 24 and 1 <= self.r <= 64 and 1 <= self.p <= SCRYPT_PARALLEL_MAX
        return in_range and self.memory_size <= SCRYPT_MEMORY_SIZE_MAX


SCRYPT_COST: Final = ScryptCost()


def hash_with_digest(password: bytes, algorithm: str, salt: bytes | None = None) -> str:
    """Return RabbitMQ's ``password_hash`` of ``password``.

    :raises KeyError: ``algorithm`` is none of RabbitMQ's.
    """
    salt = secrets.token_bytes(RABBIT_SALT_SIZE) if salt is None else salt
    digest = hashlib.new(RABBIT_DIGESTS[algorithm], salt + password, usedforsecurity=False).digest()
    return b64encode(salt + digest).decode()


def hash_with_scrypt(password: bytes, cost: ScryptCost, salt: bytes | None = None) -> str:
    """Return the self-describing scrypt hash of ``password``; takes as long as ``cost`` says."""
    salt = secrets.token_bytes(SCRYPT_SALT_SIZE) if salt is None else salt
    key = _scrypt(password, cost, salt)
    return (
        f"$scrypt$ln={cost.ln},r={cost.r},p={cost.p}"
        f"${b64encode(salt).decode()}${b64encode(key).decode()}"
    )


def verify_password(password_hash: str, algorithm: str, password: bytes) -> bool:
    """Return whether ``password`` made ``password_hash``.

    False too for an unknown algorithm or a hash that does not parse. The comparison takes the same
    time wherever the two differ.
    """
    try:
        if algorithm == SCRYPT:
            cost, salt, expected = _parse_scrypt(password_hash)
            actual = _scrypt(password, cost, salt)
        else:
            digest = RABBIT_DIGESTS[algorithm]
            data = b64decode(password_hash, validate=True)
            salt, expected = data[:RABBIT_SALT_SIZE], data[RABBIT_SALT_SIZE:]
            actual = hashlib.new(digest, salt + password, usedforsecurity=False).digest()
    except (KeyError, ValueError):
        return False
    return hmac.compare_digest(actual, expected)


def algorithm_of(password_hash: str, default: str = SHA256) -> str:
    """Return the algorithm of a hash that came without its name.

    Ours says so itself; any other is of ``default``, or SHA-256 where that is ours.
    """
    if password_hash.startswith(SCRYPT_START):
        return SCRYPT
    return SHA256 if default == SCRYPT else default


def is_well_formed(password_hash: str, algorithm: str) -> bool:
    """Return whether a text can be a hash of an algorithm at all: base64, or ours in full."""
    try:
        if algorithm == SCRYPT:
            return _parse_scrypt(password_hash)[0].is_bearable
        b64decode(password_hash, validate=True)
    except (KeyError, ValueError):
        return False
    return True


def _scrypt(password: bytes, cost: ScryptCost, salt: bytes) -> bytes:
    if not cost.is_bearable:
        raise ValueError(f"scrypt cost {cost} is out of range")
    return hashlib.scrypt(
        password,
        salt=salt,
        n=1 << cost.ln,
        r=cost.r,
        p=cost.p,
        maxmem=2 * cost.memory_size + 1024 * cost.r * cost.p,
        dklen=SCRYPT_KEY_SIZE,
    )


def _parse_scrypt(password_hash: str) -> tuple[ScryptCost, bytes, bytes]:
    empty, name, parameters, salt, key = password_hash.split("$")
    if empty or name != "scrypt":
        raise ValueError("not a scrypt hash")
    numbers = dict(item.split("=", 1) for item in parameters.split(","))
    cost = ScryptCost(int(numbers["ln"]), int(numbers["r"]), int(numbers["p"]))
    return cost, b64decode(salt, validate=True), b64decode(key, validate=True)


class RememberedChecks:
    """The last successful slow checks: digests under a key that dies with the process.

    A digest says nothing about hash or password to who has not the key, and neither is kept. A
    changed password changes the hash and so never hits. Safe to use from several threads.
    """

    def __init__(self, count_max: int = REMEMBERED_COUNT_MAX) -> None:
        self._count_max = count_max
        self._key = secrets.token_bytes(32)
        self._digests: dict[bytes, None] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._digests)

    def add(self, password_hash: str, password: bytes) -> None:
        """Remember that ``password`` made ``password_hash``; the oldest goes when full."""
        digest = self._digest(password_hash, password)
        with self._lock:
            self._digests[digest] = None
            if len(self._digests) > self._count_max:
                del self._digests[next(iter(self._digests))]

    def holds(self, password_hash: str, password: bytes) -> bool:
        """Return whether this check has succeeded before."""
        return self._digest(password_hash, password) in self._digests

    def _digest(self, password_hash: str, password: bytes) -> bytes:
        hashed = password_hash.encode("utf-8", "surrogateescape")
        message = len(hashed).to_bytes(4, "big") + hashed + password
        return hmac.digest(self._key, message, "sha256")


@dataclass(slots=True)
class Passwords:
    """How passwords are hashed and checked.

    ``algorithm`` and ``scrypt_cost`` hold for new hashes; old ones are checked by their own.
    ``scram_mechanisms`` are those for which a new password also leaves SCRAM keys, each a
    PBKDF2 of ``scram_iterations`` rounds: a shorter way to guess than scrypt, so off by default.
    """

    algorithm: str = SCRYPT
    scrypt_cost: ScryptCost = SCRYPT_COST
    scram_mechanisms: tuple[str, ...] = ()
    scram_iterations: int = 32_768
    remembered: RememberedChecks = field(default_factory=RememberedChecks, repr=False)

    def __post_init__(self) -> None:
        if self.algorithm not in ALGORITHMS:
            raise ValueError(f"unknown password hashing algorithm '{self.algorithm}'")
        if not self.scrypt_cost.is_bearable:
            raise ValueError(f"scrypt cost {self.scrypt_cost} is out of range")

    def hash(self, password: bytes) -> str:
        """Return a hash by the current algorithm (scrypt: some 50 ms)."""
        if self.algorithm == SCRYPT:
            return hash_with_scrypt(password, self.scrypt_cost)
        return hash_with_digest(password, self.algorithm)

    def verify(self, password_hash: str, algorithm: str, password: bytes) -> bool:
        """Return whether ``password`` made ``password_hash`` (a new scrypt check: some 50 ms)."""
        if not self.is_slow(password_hash, algorithm, password):
            return algorithm == SCRYPT or verify_password(password_hash, algorithm, password)
        is_right = verify_password(password_hash, algorithm, password)
        if is_right:
            self.remembered.add(password_hash, password)
        return is_right

    def is_slow(self, password_hash: str, algorithm: str, password: bytes) -> bool:
        """Return whether :meth:`verify` would have to compute a slow hash."""
        return algorithm == SCRYPT and not self.remembered.holds(password_hash, password)

    @property
    def is_hashing_slow(self) -> bool:
        """Whether :meth:`hash` and :meth:`waste_time` are better called in a thread."""
        return self.algorithm == SCRYPT

    def waste_time(self, password: bytes) -> None:
        """Take as long as a check that fails, for a user that does not exist."""
        if self.algorithm == SCRYPT:
            _scrypt(password, self.scrypt_cost, bytes(SCRYPT_SALT_SIZE))
        else:
            hash_with_digest(password, self.algorithm, bytes(RABBIT_SALT_SIZE))
