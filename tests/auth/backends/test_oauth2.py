"""Tokens as passwords (FEATURES A15.6)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.auth.backends.backend import BackendFailed
from amqpbroker.auth.backends.claims import ClaimRules
from amqpbroker.auth.backends.oauth2 import NAME, OAuth2Backend
from amqpbroker.auth.backends.signing_keys import SigningKeys
from amqpbroker.auth.exceptions import AuthenticationFailed
from amqpbroker.auth.sasl.mechanism import Peer
from tests.broker.clock import Clock
from tests.tokens import Issuer

if TYPE_CHECKING:
    from pathlib import Path

LOCAL = Peer(is_loopback=True)
ONE, STRANGER = Issuer("one"), Issuer("one")


@pytest.fixture
def clock() -> Clock:
    clock = Clock()
    clock.now = time.time()
    return clock


def make_backend(tmp_path: Path, clock: Clock, **options: Any) -> OAuth2Backend:
    path = tmp_path / "jwks.json"
    path.write_bytes(ONE.jwks)
    keys = SigningKeys(now=clock, jwks_file=path)
    return OAuth2Backend(ClaimRules("rabbitmq"), keys, clock, **options)


@pytest.fixture
def backend(tmp_path: Path, clock: Clock) -> OAuth2Backend:
    return make_backend(tmp_path, clock)


async def reason(backend: OAuth2Backend, token: str | bytes | None) -> str:
    password = token.encode() if isinstance(token, str) else token
    with pytest.raises(AuthenticationFailed) as caught:
        await backend.log_in("anybody", password, LOCAL)
    return str(caught.value).removeprefix("Authentication using an OAuth 2/JWT token failed: ")


async def test_the_token_says_who_it_is_and_what_they_may(backend: OAuth2Backend) -> None:
    token = ONE.token("rabbitmq.read:v/q rabbitmq.tag:management rabbitmq.write:v/x/k")
    grant = await backend.log_in("whoever", token.encode(), LOCAL)
    assert (grant.username, grant.tags) == ("ann", ("management",))
    authority = grant.authority
    assert authority.may_enter("v")
    assert not authority.may_enter("w")
    assert authority.may_use("v", "queue", "q", "read")
    assert not authority.may_use("v", "queue", "q", "write")
    assert authority.may_use_topic("v", "x", "k", "write", {})
    assert not authority.is_remote


async def test_another_backend_may_know_who_it_is(backend: OAuth2Backend) -> None:
    token = ONE.token("rabbitmq.read:v/q rabbitmq.tag:management")
    grant = await backend.authorize("ann", token.encode(), LOCAL)
    assert grant.tags == ()
    assert grant.authority.may_enter("v")


async def test_what_is_no_good_token_is_refused(backend: OAuth2Backend) -> None:
    assert await reason(backend, None) == "no token"
    assert await reason(backend, b"") == "no token"
    assert await reason(backend, b"secret") == "provided token is invalid"
    assert await reason(backend, STRANGER.token()) == "signature_invalid"
    assert await reason(backend, ONE.token(aud="other")) == "no_matching_aud_found"
    assert await reason(backend, ONE.token(headers={"kid": "two"})) == "key_not_found"
    assert await reason(backend, ONE.token(headers={})) == "key_not_found"
    expired = await reason(backend, ONE.token(lifetime_s=-5))
    assert expired.startswith("Provided JWT token has expired at timestamp ")


async def test_a_public_key_is_no_secret(backend: OAuth2Backend) -> None:
    # The classic attacks: an HMAC with the public key, and no signature at all.
    claims = {"sub": "ann", "aud": "rabbitmq", "exp": time.time() + 60}
    header = {"kid": "one"}
    forged = jwt.encode(claims, "x" * 32, "HS256", header)
    assert await reason(backend, forged) == "the key 'one' is not for the token's algorithm"
    unsigned = jwt.encode(claims, "", "none", header)
    assert await reason(backend, unsigned) == "the key 'one' is not for the token's algorithm"


async def test_algorithms_may_be_fewer_and_the_key_may_go_without_saying(
    tmp_path: Path, clock: Clock
) -> None:
    strict = make_backend(tmp_path, clock, algorithms=frozenset({"RS256"}))
    assert "not for the token's algorithm" in await reason(strict, ONE.token())
    lenient = make_backend(tmp_path, clock, default_key="one")
    token = ONE.token(headers={}).encode()
    assert (await lenient.log_in("", token, LOCAL)).username == "ann"


async def test_a_token_grants_nothing_when_its_time_is_over(
    backend: OAuth2Backend, clock: Clock
) -> None:
    grant = await backend.log_in("", ONE.token().encode(), LOCAL)
    assert grant.expires_at_s is not None
    clock.now = grant.expires_at_s - 1
    assert grant.authority.may_enter("v")
    clock.now += 1
    text = f"backend {NAME} .* token has expired"
    with pytest.raises(BackendFailed, match=text):
        grant.authority.may_enter("v")
    with pytest.raises(BackendFailed, match=text):
        grant.authority.may_use("v", "queue", "q", "read")
    with pytest.raises(BackendFailed, match=text):
        grant.authority.may_use_topic("v", "x", "k", "read", {})


async def test_a_new_token_is_of_the_same_user(backend: OAuth2Backend) -> None:
    # A1.14
    grant = await backend.log_in("", ONE.token().encode(), LOCAL)
    renewed = await grant.authority.renew(ONE.token("rabbitmq.tag:monitoring").encode())
    assert renewed is not None
    assert renewed.tags == ("monitoring",)
    with pytest.raises(AuthenticationFailed, match="Not allowed to change username"):
        await grant.authority.renew(ONE.token(sub="bob").encode())
    with pytest.raises(AuthenticationFailed, match="signature_invalid"):
        await grant.authority.renew(STRANGER.token().encode())


class NoKeys(SigningKeys):
    """Has the key of nobody."""


@given(st.binary(max_size=60) | st.text('abc.={}"', max_size=40).map(str.encode))
def test_any_bytes_are_refused(token: bytes) -> None:
    backend = OAuth2Backend(ClaimRules("rabbitmq"), NoKeys(now=Clock()), Clock())
    with pytest.raises(AuthenticationFailed):
        backend.log_in("", token, LOCAL).send(None)


async def test_no_reason_repeats_the_token(backend: OAuth2Backend) -> None:
    for token in (STRANGER.token(), ONE.token(aud=None), "secret.secret.secret"):
        told = await reason(backend, token)
        assert not [part for part in token.split(".") if part in told]
