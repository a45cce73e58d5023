"""Where keys come from, and how often they are asked for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jwt
import pytest
import trustme

from amqpbroker.auth.backends.signing_keys import (
    AGE_MAX_S,
    REFRESH_INTERVAL_S,
    KeyNotFound,
    SigningKeys,
    read_discovery,
    read_jwks,
    read_pem,
)
from amqpbroker.auth.exceptions import HttpFailed
from tests.broker.clock import Clock
from tests.tokens import Issuer

if TYPE_CHECKING:
    from pathlib import Path

ONE, TWO = Issuer("one"), Issuer("two")


class Shop:
    """A URL whose content changes; ``asked`` counts."""

    def __init__(self) -> None:
        self.content: bytes | None = ONE.jwks
        self.asked = 0
        self.clock = Clock()
        self.keys = SigningKeys(now=self.clock, jwks_url="https://keys", fetch=self.fetch)

    async def fetch(self, url: str) -> bytes:
        assert url == "https://keys"
        self.asked += 1
        if self.content is None:
            raise HttpFailed("timeout")
        return self.content


async def test_keys_are_fetched_once() -> None:
    shop = Shop()
    for _ in range(3):
        assert (await shop.keys.find("one")).algorithms == {"ES256", "ES256K", "ES384", "ES512"}
    assert shop.asked == 1


async def test_a_new_key_is_fetched_when_it_is_needed() -> None:
    shop = Shop()
    await shop.keys.find("one")
    shop.content = json.dumps({"keys": [ONE.jwk, TWO.jwk]}).encode()
    shop.clock.now += REFRESH_INTERVAL_S
    await shop.keys.find("two")
    assert shop.asked == 2


async def test_strangers_do_not_make_it_ask_often() -> None:
    shop = Shop()
    await shop.keys.find("one")
    for _ in range(5):
        with pytest.raises(KeyNotFound, match="key_not_found"):
            await shop.keys.find("nobody's")
    shop.clock.now += REFRESH_INTERVAL_S
    with pytest.raises(KeyNotFound):
        await shop.keys.find("nobody's")
    assert shop.asked == 2


async def test_a_key_that_was_withdrawn_is_forgotten_in_time() -> None:
    shop = Shop()
    await shop.keys.find("one")
    shop.content = TWO.jwks
    shop.clock.now += AGE_MAX_S
    with pytest.raises(KeyNotFound):
        await shop.keys.find("one")


async def test_known_keys_stay_while_the_web_is_down(caplog: pytest.LogCaptureFixture) -> None:
    shop = Shop()
    await shop.keys.find("one")
    shop.content = None
    shop.clock.now += AGE_MAX_S
    await shop.keys.find("one")
    await shop.keys.find("one")
    assert shop.asked == 2
    assert "signing keys: https://keys: timeout" in caplog.messages
    shop.content = b"<html>"
    shop.clock.now += REFRESH_INTERVAL_S
    await shop.keys.find("one")
    assert "signing keys: https://keys: no JSON Web Key Set" in caplog.messages


async def test_an_issuer_says_where_its_keys_are(caplog: pytest.LogCaptureFixture) -> None:
    asked: list[str] = []
    place = "https://id/realm/.well-known/openid-configuration"
    pages = {place: b"{}", "https://id/keys": ONE.jwks}

    async def fetch(url: str) -> bytes:
        asked.append(url)
        return pages[url]

    clock = Clock()
    keys = SigningKeys(now=clock, issuer="https://id/realm/", fetch=fetch)
    with pytest.raises(KeyNotFound):
        await keys.find("one")
    assert asked == [place]
    assert caplog.messages == [
        f"signing keys: {place}: no description of an issuer with a jwks_uri"
    ]
    pages[place] = b'{"jwks_uri": "https://id/keys"}'
    clock.now += REFRESH_INTERVAL_S
    await keys.find("one")
    assert asked == [place, place, "https://id/keys"]


@pytest.mark.parametrize("data", [b"", b"[]", b'{"jwks_uri": 7}', b'{"jwks_uri": "file:///x"}'])
def test_what_describes_no_issuer(data: bytes) -> None:
    with pytest.raises(ValueError, match="no description of an issuer"):
        read_discovery(data)


async def test_files_need_no_web(tmp_path: Path) -> None:
    (tmp_path / "jwks.json").write_bytes(ONE.jwks)
    (tmp_path / "two.pem").write_bytes(TWO.pem)
    keys = SigningKeys(
        now=Clock(), pem_files={"two": tmp_path / "two.pem"}, jwks_file=tmp_path / "jwks.json"
    )
    for issuer in (ONE, TWO):
        key = await keys.find(issuer.key_id)
        jwt.decode(issuer.token(), key.load("ES256"), ["ES256"], audience="rabbitmq")
    with pytest.raises(KeyNotFound):
        await keys.find("three")


def test_a_file_without_keys_is_named(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("{}")
    with pytest.raises(ValueError, match=f"{path}: no JSON Web Key Set"):
        SigningKeys(now=Clock(), jwks_file=path)
    with pytest.raises(ValueError, match=f"{path}: no public key"):
        read_pem(path)


def test_a_certificate_is_a_key_as_well(tmp_path: Path) -> None:
    path = tmp_path / "cert.pem"
    trustme.CA().issue_cert("keys").cert_chain_pems[0].write_to_path(path)
    assert "ES256" in read_pem(path).algorithms


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [{"kty": "EC"}],
        [{**ONE.jwk, "use": "enc"}],
        [{"kty": "new", "kid": "x"}],
        [7],
        "text",
    ],
)
def test_a_set_without_a_key_is_none(keys: Any) -> None:
    with pytest.raises(ValueError, match="Key Set"):
        read_jwks(json.dumps({"keys": keys}).encode())


def test_a_key_is_for_the_algorithm_that_it_names() -> None:
    named = read_jwks(json.dumps({"keys": [{**ONE.jwk, "alg": "ES256"}]}).encode())
    assert named["one"].algorithms == {"ES256"}
    secret = {"kty": "oct", "kid": "s", "k": "c2VjcmV0"}
    assert read_jwks(json.dumps({"keys": [secret]}).encode())["s"].algorithms == {
        "HS256",
        "HS384",
        "HS512",
    }


def test_a_broken_key_is_no_crash() -> None:
    key = read_jwks(json.dumps({"keys": [{**ONE.jwk, "x": "AA"}]}).encode())["one"]
    with pytest.raises(KeyNotFound, match="the key 'one' cannot be used"):
        key.load("ES256")
