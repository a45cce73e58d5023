"""Hash formats, the scrypt default, and the memory of successful checks."""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.auth import passwords as module
from amqpbroker.auth.passwords import (
    MD5,
    SCRYPT,
    SHA256,
    SHA512,
    Passwords,
    RememberedChecks,
    ScryptCost,
    algorithm_of,
    hash_with_digest,
    hash_with_scrypt,
    is_well_formed,
    verify_password,
)

CHEAP = ScryptCost(ln=4, r=1, p=1)
RABBITMQ_DOCUMENTED = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"


def passwords() -> Passwords:
    return Passwords(scrypt_cost=CHEAP)


class CountedScrypt:
    """Counts the scrypts computed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._scrypt = module._scrypt
        monkeypatch.setattr(module, "_scrypt", self)

    def __call__(self, password: bytes, cost: ScryptCost, salt: bytes) -> bytes:
        self.count += 1
        return self._scrypt(password, cost, salt)


def test_the_hash_of_rabbitmqs_documentation() -> None:
    salt = bytes.fromhex("908DC60A")
    assert hash_with_digest(b"test12", SHA256, salt) == RABBITMQ_DOCUMENTED
    assert verify_password(RABBITMQ_DOCUMENTED, SHA256, b"test12")
    assert not verify_password(RABBITMQ_DOCUMENTED, SHA256, b"test13")


def test_a_hash_that_rabbitmq_3_10_made() -> None:
    made = "69pVP6PS9GfgxxEoJzVpul/Lt0/g3YGkD8vc1VpmO7fmfydR"
    assert verify_password(made, SHA256, b"p")


@pytest.mark.parametrize(("algorithm", "size"), [(MD5, 16), (SHA256, 32), (SHA512, 64)])
def test_rabbitmqs_formats_hold_salt_and_digest(algorithm: str, size: int) -> None:
    made = hash_with_digest("pässword".encode(), algorithm)
    assert len(b64decode(made)) == 4 + size
    assert verify_password(made, algorithm, "pässword".encode())
    assert not verify_password(made, algorithm, b"password")


def test_a_hash_is_salted() -> None:
    assert hash_with_digest(b"p", SHA256) != hash_with_digest(b"p", SHA256)
    assert hash_with_scrypt(b"p", CHEAP) != hash_with_scrypt(b"p", CHEAP)


def test_scrypt_describes_itself_and_verifies() -> None:
    made = hash_with_scrypt(b"secret", CHEAP)
    assert made.startswith("$scrypt$ln=4,r=1,p=1$")
    assert verify_password(made, SCRYPT, b"secret")
    assert not verify_password(made, SCRYPT, b"Secret")


def test_scrypt_computes_the_vector_of_rfc_7914() -> None:
    cost = ScryptCost(ln=10, r=8, p=16)
    key = "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162"
    made = hash_with_scrypt(b"password", cost, b"NaCl")
    assert made.rpartition("$")[2] == b64encode(bytes.fromhex(key)).decode()


def test_new_users_get_scrypt_unless_told_otherwise() -> None:
    assert Passwords().algorithm == SCRYPT
    made = Passwords(algorithm=SHA512).hash(b"p")
    assert verify_password(made, SHA512, b"p")


def test_an_unknown_algorithm_cannot_be_chosen() -> None:
    with pytest.raises(ValueError, match="unknown password hashing algorithm 'crypt'"):
        Passwords(algorithm="crypt")


def test_a_cost_beyond_the_limits_cannot_be_chosen() -> None:
    with pytest.raises(ValueError, match="out of range"):
        Passwords(scrypt_cost=ScryptCost(ln=24, r=64))


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "AAAA",
        "not base64 !",
        "$scrypt$ln=30,r=8,p=1$AAAA$AAAA",
        "$scrypt$ln=-1,r=8,p=1$AAAA$AAAA",
        "$scrypt$ln=x,r=8,p=1$AAAA$AAAA",
        "$scrypt$r=8,p=1$AAAA$AAAA",
        "$scrypt$ln=4,r=1,p=1$AAAA",
        "$bcrypt$ln=4,r=1,p=1$AAAA$AAAA",
    ],
)
@pytest.mark.parametrize("algorithm", [SHA256, SCRYPT, "rabbit_password_hashing_other"])
def test_a_broken_hash_matches_no_password(stored: str, algorithm: str) -> None:
    assert not verify_password(stored, algorithm, b"")
    assert not verify_password(stored, algorithm, b"p")


@given(stored=st.text(), algorithm=st.sampled_from([MD5, SHA256, SHA512, SCRYPT, ""]))
def test_no_stored_text_raises(stored: str, algorithm: str) -> None:
    assert not verify_password(stored, algorithm, b"password")


def test_hashes_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return a == b

    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert verify_password(RABBITMQ_DOCUMENTED, SHA256, b"test12")
    assert verify_password(hash_with_scrypt(b"p", CHEAP), SCRYPT, b"p")
    assert len(compared) == 2


def test_ten_thousand_reconnects_cost_one_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    some = passwords()
    made = some.hash(b"secret")
    counted = CountedScrypt(monkeypatch)
    assert all(some.verify(made, SCRYPT, b"secret") for _ in range(10_000))
    assert counted.count == 1


def test_a_wrong_password_is_computed_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    some = passwords()
    made = some.hash(b"secret")
    counted = CountedScrypt(monkeypatch)
    assert not any(some.verify(made, SCRYPT, b"wrong") for _ in range(3))
    assert counted.count == 3
    assert len(some.remembered) == 0


def test_is_slow_says_whether_a_scrypt_is_due() -> None:
    some = passwords()
    made = some.hash(b"secret")
    assert some.is_slow(made, SCRYPT, b"secret")
    assert some.verify(made, SCRYPT, b"secret")
    assert not some.is_slow(made, SCRYPT, b"secret")
    assert some.is_slow(made, SCRYPT, b"wrong")
    assert not some.is_slow(RABBITMQ_DOCUMENTED, SHA256, b"test12")


def test_a_changed_hash_forgets() -> None:
    some = passwords()
    old, new = some.hash(b"secret"), some.hash(b"other")
    assert some.verify(old, SCRYPT, b"secret")
    assert not some.verify(new, SCRYPT, b"secret")


def test_the_memory_keeps_digests_alone_and_is_bounded() -> None:
    checks = RememberedChecks(count_max=2)
    for password in (b"one", b"two", b"three"):
        checks.add("HASH", password)
    assert len(checks) == 2
    assert not checks.holds("HASH", b"one")
    assert checks.holds("HASH", b"three")
    assert all(len(digest) == 32 for digest in checks._digests)
    assert not RememberedChecks().holds("HASH", b"three")


def test_digests_depend_on_a_key_of_the_process() -> None:
    one, other = RememberedChecks(), RememberedChecks()
    one.add("HASH", b"p")
    other.add("HASH", b"p")
    assert one._digests.keys().isdisjoint(other._digests)


def test_hash_and_password_cannot_be_shifted_into_each_other() -> None:
    checks = RememberedChecks()
    checks.add("HASH", b"password")
    assert not checks.holds("HASHp", b"assword")


def test_an_unknown_user_costs_a_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = CountedScrypt(monkeypatch)
    passwords().waste_time(b"p")
    Passwords(algorithm=SHA256).waste_time(b"p")
    assert counted.count == 1


def test_passwords_print_without_what_they_remember() -> None:
    assert "remembered" not in repr(passwords())


def test_a_hash_says_what_made_it_if_it_is_ours() -> None:
    ours = hash_with_scrypt(b"p", CHEAP)
    assert algorithm_of(ours, SHA512) == SCRYPT
    assert algorithm_of(RABBITMQ_DOCUMENTED, SHA512) == SHA512
    assert algorithm_of(RABBITMQ_DOCUMENTED, SCRYPT) == SHA256


@pytest.mark.parametrize(
    ("password_hash", "algorithm", "is_well"),
    [
        (RABBITMQ_DOCUMENTED, SHA256, True),
        ("?", SHA256, False),
        ("é", SHA256, False),
        (hash_with_scrypt(b"p", CHEAP), SCRYPT, True),
        (RABBITMQ_DOCUMENTED, SCRYPT, False),
        ("$scrypt$ln=60,r=8,p=1$AA==$AA==", SCRYPT, False),
        ("$scrypt$r=8,p=1$AA==$AA==", SCRYPT, False),
    ],
)
def test_what_can_be_a_hash(password_hash: str, algorithm: str, is_well: bool) -> None:
    assert is_well_formed(password_hash, algorithm) is is_well
