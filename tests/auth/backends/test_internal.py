"""The broker's own users."""

from __future__ import annotations

import pytest

from amqpbroker.auth.backends.internal import InternalAuthority, InternalBackend
from amqpbroker.auth.exceptions import AuthenticationFailed
from amqpbroker.auth.passwords import SHA256, Passwords, ScryptCost
from amqpbroker.auth.sasl.mechanism import Peer
from amqpbroker.auth.users import Permissions, TopicPermissions, UserStore

LOCAL = Peer(is_loopback=True)


@pytest.fixture
def store() -> UserStore:
    store = UserStore(Passwords(scrypt_cost=ScryptCost(ln=4, r=1, p=1)))
    store.add_default_user()
    store.add_user("bob", "secret", tags=["monitoring"])
    return store


@pytest.mark.parametrize(("name", "password"), [("guest", b"guest"), ("bob", b"secret")])
async def test_a_password_is_checked_however_long_it_takes(
    store: UserStore, name: str, password: bytes
) -> None:
    grant = await InternalBackend(store).log_in(name, password, LOCAL)
    assert (grant.username, grant.tags) == (name, store.users[name].tags)
    with pytest.raises(AuthenticationFailed, match=f"user '{name}' - invalid credentials"):
        await InternalBackend(store).log_in(name, b"wrong", LOCAL)


async def test_a_proven_name_needs_no_password(store: UserStore) -> None:
    assert (await InternalBackend(store).log_in("bob", None, LOCAL)).tags == ("monitoring",)
    assert (await InternalBackend(store).authorize("bob", b"another's", LOCAL)).username == "bob"
    with pytest.raises(AuthenticationFailed):
        await InternalBackend(store).log_in("nobody", None, LOCAL)


async def test_an_authority_is_the_rows_as_they_are_now(store: UserStore) -> None:
    authority = InternalAuthority(store, "bob")
    assert not authority.may_enter("/")
    assert not authority.may_use("/", "queue", "q", "read")
    store.set_permissions("bob", "/", Permissions("", "", "^q$"))
    assert authority.may_enter("/")
    assert authority.may_use("/", "queue", "q", "read")
    assert not authority.may_use("/", "queue", "q", "write")
    assert authority.may_use_topic("/", "x", "any", "write", {})
    store.set_topic_permissions("bob", "/", "x", TopicPermissions("^{username}$", ""))
    assert authority.may_use_topic("/", "x", "bob", "write", {})
    assert not authority.may_use_topic("/", "x", "any", "write", {})
    assert await authority.renew(b"anything") is None
    assert not authority.is_remote


def test_hashes_are_made_by_the_store(store: UserStore) -> None:
    assert store.users["guest"].hashing_algorithm == SHA256
