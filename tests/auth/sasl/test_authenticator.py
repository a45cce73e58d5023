"""A whole login, by every mechanism and from every side."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.auth.exceptions import AuthenticationFailed
from amqpbroker.auth.passwords import SHA256, Passwords, ScryptCost
from amqpbroker.auth.principal import Principal, User
from amqpbroker.auth.sasl import (
    DEFAULT_MECHANISMS,
    OFFERS,
    Authenticator,
    CertificateNames,
    Challenge,
    Peer,
    SaslSettings,
)
from amqpbroker.auth.users import UserStore
from amqpbroker.errors import HardError

LOCAL = Peer(is_loopback=True)
REMOTE = Peer(is_loopback=False)
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
    ("mechanism", "response", "principal"),
    [
        ("PLAIN", b"\0bob\0secret", Principal("bob", ("monitoring",))),
        (
            "AMQPLAIN",
            b"\x05LOGINS\0\0\0\x03bob\x08PASSWORDS\0\0\0\x06secret",
            Principal("bob", ("monitoring",)),
        ),
        ("EXTERNAL", b"", Principal("CN=client")),
        ("ANONYMOUS", b"", Principal("bob", ("monitoring",))),
    ],
)
def test_one_step_logs_in(
    store: UserStore, mechanism: str, response: bytes, principal: Principal
) -> None:
    authenticator = Authenticator(store, CERTIFIED, ALL, ANONYMOUS)
    assert authenticator.start(mechanism, response) == principal


def test_a_challenge_is_answered_by_respond(store: UserStore) -> None:
    authenticator = Authenticator(store, LOCAL, ["RABBIT-CR-DEMO"])
    assert authenticator.start("RABBIT-CR-DEMO", b"guest") == Challenge(
        b"Please tell me your password"
    )
    assert authenticator.respond(b"My password is guest") == Principal("guest", ("administrator",))


@pytest.mark.parametrize("password", [b"wrong", b""])
@pytest.mark.parametrize("username", [b"bob", b"nobody", b"CN=client", b"b\xffb", b""])
def test_bad_credentials_fail(store: UserStore, username: bytes, password: bytes) -> None:
    with pytest.raises(AuthenticationFailed):
        Authenticator(store, LOCAL).start("PLAIN", b"\0" + username + b"\0" + password)


def test_a_certificate_of_nobody_fails(store: UserStore) -> None:
    peer = Peer(False, CertificateNames("CN=stranger"))
    with pytest.raises(AuthenticationFailed):
        Authenticator(store, peer, ALL).start("EXTERNAL", b"")


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


def test_guest_logs_in_from_loopback_alone(store: UserStore) -> None:
    Authenticator(store, LOCAL).start("PLAIN", b"\0guest\0guest")
    with pytest.raises(AuthenticationFailed, match="user 'guest' can only connect via localhost"):
        Authenticator(store, REMOTE).start("PLAIN", b"\0guest\0guest")


def test_loopback_binds_every_mechanism(store: UserStore) -> None:
    settings = SaslSettings(anonymous_login_user="guest")
    with pytest.raises(AuthenticationFailed, match="can only connect via localhost"):
        Authenticator(store, REMOTE, ["ANONYMOUS"], settings).start("ANONYMOUS", b"")


def test_a_wrong_password_does_not_tell_who_is_bound_to_loopback(store: UserStore) -> None:
    with pytest.raises(AuthenticationFailed, match="invalid credentials"):
        Authenticator(store, REMOTE).start("PLAIN", b"\0guest\0wrong")


def test_loopback_users_can_be_set_free() -> None:
    store = UserStore(loopback_users=())
    store.add_default_user()
    assert Authenticator(store, REMOTE).start("PLAIN", b"\0guest\0guest") == Principal(
        "guest", ("administrator",)
    )


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


def test_only_a_new_scrypt_takes_long(store: UserStore) -> None:
    authenticator = Authenticator(store, CERTIFIED, ALL)
    assert authenticator.takes_long(b"\0bob\0secret", "PLAIN")
    assert authenticator.takes_long(b"\0nobody\0secret", "PLAIN")
    assert not authenticator.takes_long(b"\0guest\0guest", "PLAIN")
    assert not authenticator.takes_long(b"garbage", "PLAIN")
    assert not authenticator.takes_long(b"", "EXTERNAL")
    assert not authenticator.takes_long(b"", "NTLM")
    authenticator.start("PLAIN", b"\0bob\0secret")
    assert not authenticator.takes_long(b"\0bob\0secret", "PLAIN")


def test_asking_whether_an_answer_takes_long_changes_nothing(store: UserStore) -> None:
    authenticator = Authenticator(store, LOCAL, ALL)
    assert not authenticator.takes_long(b"bob", "RABBIT-CR-DEMO")
    authenticator.start("RABBIT-CR-DEMO", b"bob")
    assert authenticator.takes_long(b"My password is secret")
    assert authenticator.respond(b"My password is secret") == Principal("bob", ("monitoring",))


def test_asking_leaves_scram_where_it_was(store: UserStore) -> None:
    authenticator = Authenticator(store, LOCAL, ALL)
    assert not authenticator.takes_long(b"n,,n=bob,r=abc", "SCRAM-SHA-256")
    assert isinstance(authenticator.start("SCRAM-SHA-256", b"n,,n=bob,r=abc"), Challenge)
    assert not authenticator.takes_long(b"c=biws,r=abc,p=YQ==")


@given(
    mechanism=st.sampled_from(ALL) | st.text(),
    responses=st.lists(st.binary() | st.just(b"\0bob\0x"), min_size=1, max_size=4),
)
def test_no_response_raises_anything_but_the_two_errors(
    mechanism: str, responses: list[bytes]
) -> None:
    authenticator = Authenticator(STORE, CERTIFIED, ALL, ANONYMOUS)
    try:
        authenticator.takes_long(responses[0], mechanism)
        outcome = authenticator.start(mechanism, responses[0])
        for response in responses[1:]:
            authenticator.takes_long(response)
            outcome = authenticator.respond(response)
    except (AuthenticationFailed, HardError):
        return
    assert isinstance(outcome, Principal | Challenge)
