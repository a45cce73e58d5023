"""A whole exchange, by every mechanism and from every side."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.auth.exceptions import AuthenticationFailed
from amqpbroker.auth.passwords import SHA256, Passwords, ScryptCost
from amqpbroker.auth.principal import User
from amqpbroker.auth.sasl import (
    DEFAULT_MECHANISMS,
    OFFERS,
    Authenticator,
    CertificateNames,
    Challenge,
    Peer,
    SaslSettings,
)
from amqpbroker.auth.sasl.mechanism import Credentials, Identity, StoredIdentity
from amqpbroker.auth.users import UserStore
from amqpbroker.errors import HardError

LOCAL = Peer(is_loopback=True)
CERTIFIED = Peer(False, CertificateNames("CN=client", "client"))
ALL = list(OFFERS)
ANONYMOUS = SaslSettings(anonymous_login_user="bob")


def make_store() -> UserStore:
    store = UserStore(Passwords(scrypt_cost=ScryptCost(ln=4, r=1, p=1)))
    store.add_default_user()
    store.add_user("bob", "secret", tags=["monitoring"])
    store.put_user(User("CN=client", None, SHA256))
    return store


@pytest.fixture
def store() -> UserStore:
    return make_store()


STORE = make_store()


def test_plain_and_amqplain_are_the_default(store: UserStore) -> None:
    assert Authenticator(store, LOCAL).mechanism_names == ["PLAIN", "AMQPLAIN"]
    assert "RABBIT-CR-DEMO" not in DEFAULT_MECHANISMS


def test_mechanisms_are_offered_in_their_order_and_where_possible(store: UserStore) -> None:
    names = ["EXTERNAL", "ANONYMOUS", "PLAIN"]
    assert Authenticator(store, LOCAL, names).mechanism_names == ["PLAIN"]
    assert Authenticator(store, CERTIFIED, names, ANONYMOUS).mechanism_names == names


def test_a_mechanism_that_does_not_exist_cannot_be_configured(store: UserStore) -> None:
    with pytest.raises(KeyError):
        Authenticator(store, LOCAL, ["NTLM"])


@pytest.mark.parametrize(
    ("mechanism", "response", "claim"),
    [
        ("PLAIN", b"\0bob\0secret", Credentials("bob", b"secret")),
        (
            "AMQPLAIN",
            b"\x05LOGINS\0\0\0\x03bob\x08PASSWORDS\0\0\0\x06secret",
            Credentials("bob", b"secret"),
        ),
        ("EXTERNAL", b"", Identity("CN=client")),
        ("ANONYMOUS", b"", Identity("bob")),
    ],
)
def test_one_step_is_a_claim(
    store: UserStore, mechanism: str, response: bytes, claim: Credentials | Identity
) -> None:
    authenticator = Authenticator(store, CERTIFIED, ALL, ANONYMOUS)
    assert authenticator.start(mechanism, response) == claim


def test_a_challenge_is_answered_by_respond(store: UserStore) -> None:
    authenticator = Authenticator(store, LOCAL, ["RABBIT-CR-DEMO"])
    assert authenticator.start("RABBIT-CR-DEMO", b"guest") == Challenge(
        b"Please tell me your password"
    )
    assert authenticator.respond(b"My password is guest") == Credentials("guest", b"guest")


@pytest.mark.parametrize("mechanism", ["", "plain", "NTLM", "PLAIN "])
def test_an_unknown_mechanism_is_said_to_be_unknown(store: UserStore, mechanism: str) -> None:
    with pytest.raises(HardError) as caught:
        Authenticator(store, LOCAL).start(mechanism, b"\0guest\0guest")
    text = f"503 COMMAND_INVALID - unknown authentication mechanism '{mechanism}'"
    assert str(caught.value) == text


@pytest.mark.parametrize("mechanism", ["EXTERNAL", "ANONYMOUS", "RABBIT-CR-DEMO", "SCRAM-SHA-256"])
def test_a_mechanism_that_is_not_offered_is_invalid(store: UserStore, mechanism: str) -> None:
    with pytest.raises(HardError, match=f"503 .* invalid authentication mechanism '{mechanism}'"):
        Authenticator(store, LOCAL).start(mechanism, b"\0guest\0guest")


def test_a_login_begins_once(store: UserStore) -> None:
    authenticator = Authenticator(store, LOCAL)
    with pytest.raises(HardError, match="502"):
        authenticator.start("PLAIN", b"")
    with pytest.raises(HardError, match="503"):
        authenticator.start("PLAIN", b"\0guest\0guest")


@pytest.mark.parametrize("is_started", [False, True])
def test_an_answer_needs_a_challenge(store: UserStore, is_started: bool) -> None:
    authenticator = Authenticator(store, LOCAL)
    if is_started:
        authenticator.start("PLAIN", b"\0guest\0guest")
    with pytest.raises(HardError, match=r"503 .* without a challenge"):
        authenticator.respond(b"")


@given(
    mechanism=st.sampled_from(ALL) | st.text(),
    responses=st.lists(st.binary() | st.just(b"\0bob\0x"), min_size=1, max_size=4),
)
def test_no_response_raises_anything_but_the_two_errors(
    mechanism: str, responses: list[bytes]
) -> None:
    authenticator = Authenticator(STORE, CERTIFIED, ALL, ANONYMOUS)
    try:
        outcome = authenticator.start(mechanism, responses[0])
        for response in responses[1:]:
            outcome = authenticator.respond(response)
    except (AuthenticationFailed, HardError):
        return
    assert isinstance(outcome, Challenge | Credentials | Identity | StoredIdentity)
