"""The user store: what a change does, and who may log in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpbroker.auth.exceptions import (
    AuthenticationFailed,
    InvalidRegexp,
    NoSuchUser,
    UserExists,
)
from amqpbroker.auth.passwords import SCRYPT, SHA256, Passwords, ScryptCost, hash_with_digest
from amqpbroker.auth.principal import User
from amqpbroker.auth.scram_keys import SCRAM_SHA_256, find_scram_keys
from amqpbroker.auth.users import ALL, Permissions, TopicPermissions, UserStore

if TYPE_CHECKING:
    from collections.abc import Callable

CHEAP = ScryptCost(ln=4, r=1, p=1)


@pytest.fixture
def store() -> UserStore:
    store = UserStore(Passwords(scrypt_cost=CHEAP))
    store.add_user("bob", "secret", tags=["monitoring"])
    store.set_permissions("bob", "/", ALL)
    store.set_topic_permissions("bob", "/", "x", TopicPermissions("^a", "^b"))
    return store


def test_the_default_user_is_an_administrator_bound_to_loopback() -> None:
    store = UserStore()
    store.add_default_user()
    assert store.users["guest"].tags == ("administrator",)
    assert store.permissions == {("guest", "/"): Permissions(".*", ".*", ".*")}
    assert store.loopback_users == {"guest"}


def test_the_default_user_costs_no_scrypt() -> None:
    assert UserStore().add_default_user().hashing_algorithm == SHA256
    assert UserStore().add_user("bob", "p").hashing_algorithm == SCRYPT


def test_the_default_user_can_be_another() -> None:
    store = UserStore(loopback_users=())
    store.add_default_user("root", "toor", "main")
    assert store.verify("root", b"toor").name == "root"
    assert list(store.permissions) == [("root", "main")]


CHANGES: dict[str, Callable[[UserStore], object]] = {
    "load": lambda store: store.load([], {}, {}),
    "add_default_user": lambda store: store.add_default_user(),
    "add_user": lambda store: store.add_user("new", None),
    "put_user": lambda store: store.put_user(User("bob", None, SHA256)),
    "delete_user": lambda store: store.delete_user("bob"),
    "set_password": lambda store: store.set_password("bob", "other"),
    "set_tags": lambda store: store.set_tags("bob", []),
    "set_limits": lambda store: store.set_limits("bob", {"max-channels": 1}),
    "set_permissions": lambda store: store.set_permissions("bob", "/", ALL),
    "clear_permissions": lambda store: store.clear_permissions("bob", "/"),
    "set_topic_permissions": lambda store: store.set_topic_permissions(
        "bob", "/", "x", TopicPermissions("", "")
    ),
    "clear_topic_permissions": lambda store: store.clear_topic_permissions("bob", "/"),
    "delete_vhost": lambda store: store.delete_vhost("/"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_is_a_new_generation(store: UserStore, name: str) -> None:
    before = store.generation
    CHANGES[name](store)
    assert store.generation > before


MISSING: dict[str, Callable[[UserStore], object]] = {
    "user": lambda store: store.user("no"),
    "delete_user": lambda store: store.delete_user("no"),
    "set_password": lambda store: store.set_password("no", "p"),
    "set_tags": lambda store: store.set_tags("no", []),
    "set_limits": lambda store: store.set_limits("no", {}),
    "set_permissions": lambda store: store.set_permissions("no", "/", ALL),
    "clear_permissions": lambda store: store.clear_permissions("no", "/"),
    "set_topic_permissions": lambda store: store.set_topic_permissions(
        "no", "/", "x", TopicPermissions("", "")
    ),
    "clear_topic_permissions": lambda store: store.clear_topic_permissions("no", "/"),
}


@pytest.mark.parametrize("name", MISSING)
def test_a_change_of_nobody_changes_nothing(store: UserStore, name: str) -> None:
    before = store.generation
    with pytest.raises(NoSuchUser, match="no user 'no'"):
        MISSING[name](store)
    assert store.generation == before


def test_a_name_is_taken_once(store: UserStore) -> None:
    with pytest.raises(UserExists):
        store.add_user("bob", "p")


def test_a_deleted_user_leaves_no_permissions_behind(store: UserStore) -> None:
    store.add_default_user()
    store.delete_user("bob")
    assert list(store.users) == ["guest"]
    assert list(store.permissions) == [("guest", "/")]
    assert store.topic_permissions == {}


def test_a_deleted_vhost_leaves_no_permissions_behind(store: UserStore) -> None:
    store.set_permissions("bob", "other", ALL)
    store.delete_vhost("/")
    assert list(store.permissions) == [("bob", "other")]
    assert store.topic_permissions == {}


def test_topic_permissions_are_cleared_by_exchange_or_all(store: UserStore) -> None:
    for exchange in ("y", "z"):
        store.set_topic_permissions("bob", "/", exchange, TopicPermissions("", ""))
    store.clear_topic_permissions("bob", "/", "y")
    assert [key[2] for key in store.topic_permissions] == ["x", "z"]
    store.clear_topic_permissions("bob", "/")
    assert store.topic_permissions == {}


def test_a_bad_pattern_is_refused_and_the_old_one_stays(store: UserStore) -> None:
    with pytest.raises(InvalidRegexp):
        store.set_permissions("bob", "/", Permissions("", "(", ""))
    with pytest.raises(InvalidRegexp):
        store.set_topic_permissions("bob", "/", "x", TopicPermissions("(", ""))
    assert store.permissions["bob", "/"] == ALL
    assert store.topic_permissions["bob", "/", "x"] == TopicPermissions("^a", "^b")


def test_stored_rows_are_loaded_as_they_are() -> None:
    store = UserStore()
    bad = Permissions("(", "(", "(")
    store.load([User("bob", None, SHA256)], {("bob", "/"): bad}, {})
    assert store.permissions["bob", "/"] == bad


def test_the_right_password_returns_the_user(store: UserStore) -> None:
    assert store.verify("bob", b"secret").tags == ("monitoring",)


@pytest.mark.parametrize(
    ("username", "password"), [("bob", b"wrong"), ("no", b"secret"), ("", b"x")]
)
def test_wrong_password_and_unknown_user_look_the_same(
    store: UserStore, username: str, password: bytes
) -> None:
    with pytest.raises(AuthenticationFailed) as caught:
        store.verify(username, password)
    assert caught.value.reason == f"user '{username}' - invalid credentials"


def test_an_unknown_user_takes_as_long_as_a_wrong_password(
    store: UserStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    wasted: list[bytes] = []
    monkeypatch.setattr(Passwords, "waste_time", lambda _self, password: wasted.append(password))
    with pytest.raises(AuthenticationFailed):
        store.verify("no", b"p")
    assert wasted == [b"p"]


def test_a_quick_hash_does_not_tell_that_there_is_such_a_user(
    store: UserStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    wasted: list[bytes] = []
    monkeypatch.setattr(Passwords, "waste_time", lambda _self, password: wasted.append(password))
    store.add_default_user()  # hashed with SHA-256
    assert store.verify("guest", b"guest").name == "guest"
    assert not wasted
    with pytest.raises(AuthenticationFailed):
        store.verify("guest", b"wrong")
    with pytest.raises(AuthenticationFailed):
        store.verify("bob", b"wrong")  # with scrypt, which has taken its time
    assert wasted == [b"wrong"]


def test_a_blank_password_never_logs_in(store: UserStore) -> None:
    blank = hash_with_digest(b"", SHA256)
    store.put_user(User("blank", blank, SHA256))
    with pytest.raises(AuthenticationFailed, match="blank password"):
        store.verify("blank", b"")


def test_a_user_without_password_has_none_that_fits(store: UserStore) -> None:
    store.set_password("bob", None)
    with pytest.raises(AuthenticationFailed):
        store.verify("bob", b"secret")


def test_a_new_password_replaces_the_old_one(store: UserStore) -> None:
    store.verify("bob", b"secret")
    store.set_password("bob", "other")
    assert store.verify("bob", b"other").name == "bob"
    with pytest.raises(AuthenticationFailed):
        store.verify("bob", b"secret")


def test_slow_is_what_needs_a_scrypt(store: UserStore) -> None:
    store.add_default_user()
    assert not store.is_slow("guest", b"guest")
    assert store.is_slow("guest", b"wrong")
    assert not store.is_slow("bob", b"")
    assert store.is_slow("no", b"p")
    assert store.is_slow("bob", b"secret")
    store.verify("bob", b"secret")
    assert not store.is_slow("bob", b"secret")


def test_a_proven_user_needs_no_password(store: UserStore) -> None:
    assert store.proven("bob") is store.users["bob"]
    with pytest.raises(AuthenticationFailed):
        store.proven("no")


def test_scram_keys_are_made_where_asked_for_and_follow_the_password() -> None:
    store = UserStore(Passwords(SHA256, scram_mechanisms=(SCRAM_SHA_256,), scram_iterations=4096))
    old = store.add_user("bob", "one").scram_keys
    new = store.set_password("bob", "two").scram_keys
    assert find_scram_keys(new, SCRAM_SHA_256) not in (None, find_scram_keys(old, SCRAM_SHA_256))
    assert store.set_password("bob", None).scram_keys == ()


def test_a_password_that_scram_forbids_leaves_no_keys() -> None:
    store = UserStore(Passwords(SHA256, scram_mechanisms=(SCRAM_SHA_256,), scram_iterations=4096))
    assert store.add_user("bob", "bell\a").scram_keys == ()
    assert store.verify("bob", b"bell\a").name == "bob"


def test_the_default_user_has_scram_keys_where_asked_for() -> None:
    store = UserStore(Passwords(SHA256, scram_mechanisms=(SCRAM_SHA_256,), scram_iterations=4096))
    assert find_scram_keys(store.add_default_user().scram_keys, SCRAM_SHA_256) is not None
