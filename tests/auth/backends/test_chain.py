"""One backend after the other."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from amqpbroker.auth.backends.backend import Grant
from amqpbroker.auth.backends.chain import Chain, Link
from amqpbroker.auth.backends.internal import InternalAuthority, InternalBackend
from amqpbroker.auth.exceptions import AuthenticationFailed
from amqpbroker.auth.passwords import SHA256, Passwords
from amqpbroker.auth.principal import Principal
from amqpbroker.auth.sasl.mechanism import Credentials, Identity, Peer, StoredIdentity
from amqpbroker.auth.users import UserStore

LOCAL = Peer(is_loopback=True)
REMOTE = Peer(is_loopback=False)
ANN = Credentials("ann", b"secret")


@pytest.fixture
def store() -> UserStore:
    store = UserStore(Passwords(SHA256))
    store.add_default_user()
    store.add_user("bob", "secret", tags=["monitoring"])
    return store


class Renewable(InternalAuthority):
    """Takes a new secret as its tags."""

    async def renew(self, secret: bytes) -> Grant | None:
        return Grant("ann", self, tuple(secret.decode().split()), 200)


@dataclass
class Known:
    """A backend that knows one user, by any password."""

    store: UserStore
    username: str
    tags: tuple[str, ...] = ()
    expires_at_s: int | None = None
    name = "known"
    asked: list[object] = field(default_factory=list)

    async def log_in(self, username: str, password: bytes | None, peer: Peer) -> Grant:
        self.asked.append(("log in", username, password))
        if username != self.username:
            raise AuthenticationFailed(username, f"{username} is not {self.username}")
        return Grant(username, Renewable(self.store, username), self.tags, self.expires_at_s)

    async def authorize(self, username: str, password: bytes | None, peer: Peer) -> Grant:
        self.asked.append(("authorize", username, password))
        return await self.log_in(username, password, peer)


async def test_by_default_it_is_the_brokers_own_users(store: UserStore) -> None:
    principal = await Chain(store).log_in(Credentials("bob", b"secret"), REMOTE)
    assert principal == Principal("bob", ("monitoring",))
    assert len(principal.authorities) == 1
    assert not principal.is_remote
    assert await Chain(store).log_in(Identity("bob"), REMOTE) == principal


@pytest.mark.parametrize("password", [b"wrong", b""])
@pytest.mark.parametrize("username", ["bob", "nobody", "b\udcffb", ""])
async def test_bad_credentials_fail(store: UserStore, username: str, password: bytes) -> None:
    with pytest.raises(AuthenticationFailed):
        await Chain(store).log_in(Credentials(username, password), LOCAL)


async def test_the_first_that_knows_somebody_decides(store: UserStore) -> None:
    first, second = Known(store, "ann", ("one",)), Known(store, "ann", ("two",))
    internal = InternalBackend(store)
    chain = Chain(store, [Link(internal, internal), Link(first, first), Link(second, second)])
    assert (await chain.log_in(ANN, LOCAL)).tags == ("one",)
    assert not second.asked


async def test_all_reasons_are_in_the_log(store: UserStore) -> None:
    known, internal = Known(store, "carl"), InternalBackend(store)
    chain = Chain(store, [Link(known, known), Link(internal, internal)])
    reasons = "ann is not carl; user 'ann' - invalid credentials"
    with pytest.raises(AuthenticationFailed, match=reasons):
        await chain.log_in(ANN, LOCAL)


async def test_one_says_who_and_the_other_says_what(store: UserStore) -> None:
    known = Known(store, "bob", ("management", "monitoring"), 100)
    chain = Chain(store, [Link(known, InternalBackend(store))])
    principal = await chain.log_in(Credentials("bob", b"another's"), LOCAL)
    assert principal.tags == ("management", "monitoring")
    assert principal.expires_at_s is None  # what the token says matters no more
    assert isinstance(principal.authorities[0], InternalAuthority)
    chain = Chain(store, [Link(known, Known(store, "bob", (), 100))])
    assert (await chain.log_in(Credentials("bob", b"x"), LOCAL)).expires_at_s == 100


async def test_who_may_do_nothing_is_refused(store: UserStore) -> None:
    known = Known(store, "ann")
    chain = Chain(store, [Link(known, InternalBackend(store))])
    with pytest.raises(AuthenticationFailed, match="user 'ann' - invalid credentials"):
        await chain.log_in(ANN, LOCAL)


async def test_stored_keys_are_nobody_elses_business(store: UserStore) -> None:
    known, internal = Known(store, "bob", ("other",)), InternalBackend(store)
    chain = Chain(store, [Link(known, known), Link(internal, internal)])
    assert (await chain.log_in(StoredIdentity("bob"), LOCAL)).tags == ("monitoring",)
    assert chain.usable(["PLAIN", "SCRAM-SHA-256"]) == ["PLAIN", "SCRAM-SHA-256"]
    assert Chain(store, [Link(known, known)]).usable(["PLAIN", "SCRAM-SHA-256"]) == ["PLAIN"]
    with pytest.raises(AuthenticationFailed):
        await Chain(store, [Link(known, known)]).log_in(StoredIdentity("bob"), LOCAL)


@pytest.mark.parametrize("claim", [Credentials("guest", b"guest"), Identity("guest")])
async def test_guest_logs_in_from_loopback_alone(
    store: UserStore, claim: Credentials | Identity
) -> None:
    # A1.19
    await Chain(store).log_in(claim, LOCAL)
    with pytest.raises(AuthenticationFailed, match="user 'guest' can only connect via localhost"):
        await Chain(store).log_in(claim, REMOTE)


async def test_loopback_counts_whoever_knows_the_user(store: UserStore) -> None:
    known = Known(store, "guest")
    with pytest.raises(AuthenticationFailed, match="can only connect via localhost"):
        await Chain(store, [Link(known, known)]).log_in(Credentials("guest", b"x"), REMOTE)


async def test_a_wrong_password_does_not_tell_who_is_bound_to_loopback(store: UserStore) -> None:
    with pytest.raises(AuthenticationFailed, match="invalid credentials"):
        await Chain(store).log_in(Credentials("guest", b"wrong"), REMOTE)


async def test_loopback_users_can_be_set_free() -> None:
    store = UserStore(loopback_users=())
    store.add_default_user()
    principal = await Chain(store).log_in(Credentials("guest", b"guest"), REMOTE)
    assert principal == Principal("guest", ("administrator",))


async def test_a_new_secret_matters_to_whom_it_matters(store: UserStore) -> None:
    # A1.14
    known = Known(store, "ann", ("old",), 100)
    chain = Chain(store, [Link(known, known)])
    principal = await chain.log_in(ANN, LOCAL)
    assert principal.expires_at_s == 100
    renewed = await chain.renew(principal, b"new tags")
    assert (renewed.username, renewed.tags, renewed.expires_at_s) == ("ann", ("new", "tags"), 200)
    own = await Chain(store).log_in(Credentials("bob", b"secret"), LOCAL)
    assert await chain.renew(own, b"anything") is own
