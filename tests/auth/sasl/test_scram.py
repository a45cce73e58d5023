"""SCRAM: the published exchange, scramp's own client, and what goes wrong."""

from __future__ import annotations

from base64 import b64decode
from contextlib import suppress
from typing import Any

import pytest
import scramp  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.auth.exceptions import AuthenticationFailed
from amqpbroker.auth.passwords import SHA256, Passwords
from amqpbroker.auth.principal import User
from amqpbroker.auth.sasl.mechanism import Challenge, Context, Peer
from amqpbroker.auth.sasl.scram import Scram, decoy_keys
from amqpbroker.auth.scram_keys import (
    SCRAM_MECHANISMS,
    SCRAM_SHA_256,
    ScramKeys,
    format_scram_keys,
)
from amqpbroker.auth.users import UserStore
from amqpbroker.errors import HardError

CLIENT_FIRST = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"


def make_context() -> Context:
    store = UserStore(Passwords(SHA256, scram_mechanisms=SCRAM_MECHANISMS, scram_iterations=4096))
    store.add_user("user", "pencil")
    return Context(store, Peer(True))


CONTEXT = make_context()


def data_of(step: object) -> str:
    assert isinstance(step, Challenge)
    return step.data.decode()


def client(mechanism: str, username: str = "user", password: str = "pencil") -> Any:
    return scramp.ScramClient([mechanism], username, password)


def server_final(scram: Scram, peer: Any) -> str:
    peer.set_server_first(data_of(scram.step(peer.get_client_first().encode())))
    return data_of(scram.step(peer.get_client_final().encode()))


@pytest.mark.parametrize("mechanism", SCRAM_MECHANISMS)
def test_both_sides_prove_that_they_know_the_password(mechanism: str) -> None:
    scram, peer = Scram(CONTEXT, mechanism), client(mechanism)
    peer.set_server_final(server_final(scram, peer))
    assert scram.step(b"") == ("user",)


def test_the_exchange_of_rfc_7677(monkeypatch: pytest.MonkeyPatch) -> None:
    salt = b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    monkeypatch.setattr(scramp.core.Nonce, "create", lambda: scramp.core.Nonce(nonce))
    keys = ScramKeys(*scramp.ScramMechanism(SCRAM_SHA_256).make_auth_info("pencil", 4096, salt))
    store = UserStore()
    text = format_scram_keys(SCRAM_SHA_256, keys)
    store.put_user(User("user", None, SHA256, scram_keys=(text,)))
    scram = Scram(Context(store, Peer(True)), SCRAM_SHA_256)
    both = f"rOprNGfwEbeRWgbNEkqO{nonce}"
    first = f"r={both},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    assert data_of(scram.step(CLIENT_FIRST)) == first
    final = f"c=biws,r={both},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    assert data_of(scram.step(final.encode())) == "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    assert scram.step(b"") == ("user",)


@pytest.mark.parametrize(
    ("username", "password"), [("user", "wrong"), ("nobody", "pencil"), ("guest", "guest")]
)
def test_a_wrong_password_and_an_unknown_user_fail_at_the_proof(
    username: str, password: str
) -> None:
    with pytest.raises(AuthenticationFailed) as caught:
        server_final(Scram(CONTEXT, SCRAM_SHA_256), client(SCRAM_SHA_256, username, password))
    assert caught.value.reason == f"user '{username}' - invalid credentials"


def test_an_unknown_user_gets_the_same_salt_every_time() -> None:
    one, two = decoy_keys(b"key", "nobody", 4096), decoy_keys(b"key", "nobody", 4096)
    assert one.salt == two.salt != decoy_keys(b"key", "other", 4096).salt
    assert one.salt != decoy_keys(b"another", "nobody", 4096).salt
    first = [
        data_of(Scram(CONTEXT, SCRAM_SHA_256).step(b"n,,n=%b,r=abc" % name)).split(",")
        for name in (b"user", b"nobody")
    ]
    assert [len(part) for part in first[0]] == [len(part) for part in first[1]]


def test_a_nonce_is_used_once() -> None:
    nonces = {data_of(Scram(CONTEXT, SCRAM_SHA_256).step(CLIENT_FIRST)) for _ in range(3)}
    assert len(nonces) == 3


@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"\0user\0pencil",
        b"n,,n=user",
        b"n,a=other,n=user,r=abc",
        b"p=tls-unique,,n=user,r=abc",
        b"n,,m=ext,n=user,r=abc",
        b"n,,n=us=er,r=abc",
        b"n,,n=\xff,r=abc",
    ],
)
def test_a_malformed_first_message_is_a_syntax_error(response: bytes) -> None:
    with pytest.raises(HardError, match="SCRAM-SHA-256 response is invalid") as caught:
        Scram(CONTEXT, SCRAM_SHA_256).step(response)
    assert caught.value.reply_code == 502


def test_the_last_message_must_be_empty() -> None:
    scram, peer = Scram(CONTEXT, SCRAM_SHA_256), client(SCRAM_SHA_256)
    server_final(scram, peer)
    with pytest.raises(HardError, match="502"):
        scram.step(b"x")


@given(first=st.binary(), text=st.text())
def test_garbage_first_raises_nothing_but_the_two_errors(first: bytes, text: str) -> None:
    for response in (first, text.encode(), b"n,," + first, b"n,,n=" + text.encode() + b",r=a"):
        with suppress(HardError):
            Scram(CONTEXT, SCRAM_SHA_256).step(response)


@given(final=st.binary(), text=st.text())
def test_garbage_last_raises_nothing_but_the_two_errors(final: bytes, text: str) -> None:
    for tail in (final, text.encode(), b"p=" + final, b"p=" + text.encode(), b"p=YQ=="):
        scram = Scram(CONTEXT, SCRAM_SHA_256)
        nonce = data_of(scram.step(CLIENT_FIRST)).split(",")[0]
        for response in (tail, f"c=biws,{nonce},".encode() + tail):
            with pytest.raises((HardError, AuthenticationFailed)):
                scram.step(response)
