"""Decisions and their texts."""

from __future__ import annotations

import itertools

import pytest

from amqpbroker.auth.backends.backend import BackendFailed
from amqpbroker.auth.backends.internal import InternalAuthority
from amqpbroker.auth.passwords import SHA256
from amqpbroker.auth.permissions import (
    Kind,
    Permission,
    TopicPermission,
    check_resource,
    check_topic,
    check_user_id,
    check_vhost,
    may_enter,
)
from amqpbroker.auth.principal import Principal, User
from amqpbroker.auth.users import Permissions, TopicPermissions, UserStore
from amqpbroker.errors import HardError, SoftError

KINDS: tuple[Kind, ...] = ("queue", "exchange")
PERMISSIONS: tuple[Permission, ...] = ("configure", "write", "read")


def store_with(permissions: Permissions | None, topic: TopicPermissions | None = None) -> UserStore:
    store = UserStore()
    rows = {} if permissions is None else {("u", "v"): permissions}
    topic_rows = {} if topic is None else {("u", "v", "x"): topic}
    store.load([User("u", None, SHA256)], rows, topic_rows)
    return store


def user_of(store: UserStore) -> Principal:
    return Principal("u", (), (InternalAuthority(store, "u"),))


def is_permitted(store: UserStore, kind: Kind, name: str, permission: Permission) -> bool:
    try:
        check_resource(user_of(store), "v", kind, name, permission=permission)
    except SoftError as error:
        return error.reply_code != 403
    return True


def is_topic_permitted(store: UserStore, key: str, permission: TopicPermission) -> bool:
    try:
        check_topic(user_of(store), "v", "x", key, permission=permission)
    except SoftError as error:
        return error.reply_code != 403
    return True


@pytest.mark.parametrize("held", list(itertools.product([False, True], repeat=3)))
@pytest.mark.parametrize("kind", KINDS)
def test_each_permission_counts_for_itself(held: tuple[bool, ...], kind: Kind) -> None:
    store = store_with(Permissions(*("^name$" if has else "" for has in held)))
    got = tuple(is_permitted(store, kind, "name", permission) for permission in PERMISSIONS)
    assert got == held
    assert not any(is_permitted(store, kind, "other", permission) for permission in PERMISSIONS)


@pytest.mark.parametrize("permission", PERMISSIONS)
def test_no_row_permits_nothing(permission: Permission) -> None:
    assert not is_permitted(store_with(None), "queue", "q", permission=permission)


def test_a_row_counts_in_its_vhost_alone() -> None:
    store = store_with(Permissions(".*", ".*", ".*"))
    with pytest.raises(SoftError):
        check_resource(user_of(store), "other", "queue", "q", permission="read")


@pytest.mark.parametrize("permission", PERMISSIONS)
def test_a_refusal_reads_as_on_rabbitmq(permission: Permission) -> None:
    with pytest.raises(SoftError) as caught:
        check_resource(user_of(store_with(None)), "v", "queue", "q", permission=permission)
    assert caught.value.reply_text == (
        f"ACCESS_REFUSED - {permission} access to queue 'q' in vhost 'v' refused for user 'u'"
    )


def test_the_default_exchange_is_checked_and_printed_as_amq_default() -> None:
    assert is_permitted(
        store_with(Permissions("", r"^amq\.default$", "")), "exchange", "", permission="write"
    )
    assert not is_permitted(
        store_with(Permissions("", "^$", "")), "exchange", "", permission="write"
    )
    with pytest.raises(SoftError, match=r"write access to exchange 'amq\.default' in vhost 'v'"):
        check_resource(user_of(store_with(None)), "v", "exchange", "", permission="write")


def test_a_bad_pattern_denies() -> None:
    assert not is_permitted(store_with(Permissions("", "(", "")), "queue", "(", "write")


def test_a_change_counts_at_once() -> None:
    store = store_with(Permissions("", "", ""))
    assert not is_permitted(store, "queue", "q", permission="read")
    store.set_permissions("u", "v", Permissions("", "", "q"))
    assert is_permitted(store, "queue", "q", permission="read")


def test_no_topic_row_permits_every_key() -> None:
    assert is_topic_permitted(store_with(None), "any.key", "write")


def test_topic_patterns_are_apart_for_write_and_read() -> None:
    store = store_with(None, TopicPermissions(r"^a\.", r"^b\."))
    assert is_topic_permitted(store, "a.1", "write")
    assert not is_topic_permitted(store, "b.1", "write")
    assert is_topic_permitted(store, "b.1", "read")
    assert not is_topic_permitted(store, "a.1", "read")


def test_an_empty_topic_pattern_permits_the_empty_key() -> None:
    store = store_with(None, TopicPermissions("", ""))
    assert is_topic_permitted(store, "", "write")
    assert not is_topic_permitted(store, "a", "write")


def test_a_topic_refusal_reads_as_on_rabbitmq() -> None:
    store = store_with(None, TopicPermissions("^b", ""))
    with pytest.raises(SoftError) as caught:
        check_topic(user_of(store), "v", "x", "a.b", permission="write")
    assert caught.value.reply_text == (
        "ACCESS_REFUSED - write access to topic 'a.b' in exchange 'x' in vhost 'v' "
        "refused for user 'u'"
    )


def test_topic_patterns_know_user_vhost_and_what_the_caller_adds() -> None:
    store = store_with(None, TopicPermissions(r"^{username}\.{vhost}\.{client_id}$", ""))
    check_topic(
        user_of(store), "v", "x", "u.v.c1", permission="write", variables={"client_id": "c1"}
    )
    with pytest.raises(SoftError):
        check_topic(
            user_of(store), "v", "x", "u.v.c2", permission="write", variables={"client_id": "c1"}
        )


def test_an_unknown_variable_stays_literal() -> None:
    store = store_with(None, TopicPermissions("^{client_id}$", ""))
    assert is_topic_permitted(store, "{client_id}", "write")


def test_any_row_lets_into_the_vhost() -> None:
    check_vhost(user_of(store_with(Permissions("", "", ""))), "v", exists=True)


def test_no_row_keeps_out_of_the_vhost() -> None:
    with pytest.raises(HardError) as caught:
        check_vhost(user_of(store_with(None)), "v", exists=True)
    assert str(caught.value) == "530 NOT_ALLOWED - access to vhost 'v' refused for user 'u'"


def test_an_unknown_vhost_is_said_to_be_unknown() -> None:
    with pytest.raises(HardError) as caught:
        check_vhost(user_of(store_with(Permissions("", "", ""))), "v", exists=False)
    assert str(caught.value) == "530 NOT_ALLOWED - vhost v not found"


class Failing:
    """An authority that cannot tell."""

    is_remote = False

    def may_enter(self, vhost: str) -> bool:
        raise BackendFailed("rabbit_auth_backend_x", "it is down")

    def may_use(self, *question: object) -> bool:
        raise BackendFailed("rabbit_auth_backend_x", "it is down")

    def may_use_topic(self, *question: object) -> bool:
        raise BackendFailed("rabbit_auth_backend_x", "it is down")

    async def renew(self, secret: bytes) -> None:
        return None


def test_who_has_no_authority_may_nothing() -> None:
    with pytest.raises(SoftError, match="403"):
        check_resource(Principal("u"), "v", "queue", "q", permission="read")
    with pytest.raises(SoftError, match="403"):
        check_topic(Principal("u"), "v", "x", "key", permission="read")
    assert not may_enter(Principal("u"), "v")


def test_all_authorities_must_agree() -> None:
    one = InternalAuthority(store_with(Permissions("", "", ".*")), "u")
    other = InternalAuthority(store_with(Permissions("", "", "^a")), "u")
    principal = Principal("u", (), (one, other))
    check_resource(principal, "v", "queue", "a", permission="read")
    with pytest.raises(SoftError, match="403"):
        check_resource(principal, "v", "queue", "b", permission="read")


def test_an_authority_that_fails_refuses_and_says_why() -> None:
    principal = Principal("u", (), (Failing(),))
    because = "refused for user 'u', backend rabbit_auth_backend_x returned an error: it is down"
    with pytest.raises(SoftError, match=f"read access to queue 'q' in vhost 'v' {because}"):
        check_resource(principal, "v", "queue", "q", permission="read")
    with pytest.raises(SoftError, match=f"exchange 'x' in vhost 'v' {because}"):
        check_topic(principal, "v", "x", "key", permission="write")
    with pytest.raises(HardError, match=f"access to vhost 'v' {because}"):
        check_vhost(principal, "v", exists=True)
    assert not may_enter(principal, "v")


@pytest.mark.parametrize(("tags", "user_id"), [((), None), ((), "u"), (("impersonator",), "other")])
def test_user_id_may_name_oneself(tags: tuple[str, ...], user_id: str | None) -> None:
    check_user_id(Principal("u", tags), user_id)


def test_user_id_may_not_name_another() -> None:
    with pytest.raises(SoftError) as caught:
        check_user_id(Principal("u", ("administrator",)), "other")
    assert str(caught.value) == (
        "406 PRECONDITION_FAILED - user_id property set to 'other' but authenticated user was 'u'"
    )
