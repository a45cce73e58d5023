"""Users and permissions are checked before anything is applied."""

from __future__ import annotations

from typing import Any

import pytest

from amqpbroker.auth.passwords import SCRYPT, SHA256, ScryptCost, hash_with_scrypt
from amqpbroker.definitions.exceptions import DefinitionsError
from tests.definitions.document import HASH, imported, new_broker, sample


def only(**lists: Any) -> dict[str, Any]:
    return {key: value if isinstance(value, list) else [value] for key, value in lists.items()}


PERMISSION = {"user": "guest", "vhost": "/", "configure": "", "write": "", "read": ""}


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (only(users={"name": "u", "password_hash": "?"}), "users[0].password_hash"),
        (only(users={"name": "u", "password_hash": "$scrypt$?"}), "users[0].password_hash"),
        (only(users={"name": "u", "hashing_algorithm": "rot13"}), "users[0].hashing_algorithm"),
        (only(users={"name": "u", "limits": {"max-x": 1}}), "users[0].limits.max-x"),
        (
            only(users={"name": "u", "limits": {"max-channels": "1"}}),
            "users[0].limits.max-channels",
        ),
        (only(permissions={**PERMISSION, "user": "u"}), "permissions[0].user"),
        (only(permissions={**PERMISSION, "vhost": "v"}), "permissions[0].vhost"),
        (only(permissions={**PERMISSION, "write": "("}), "permissions[0].write"),
        (
            only(topic_permissions={**PERMISSION, "exchange": "x", "read": "["}),
            "topic_permissions[0].read",
        ),
    ],
)
async def test_what_is_refused(document: Any, path: str) -> None:
    broker = new_broker()
    with pytest.raises(DefinitionsError) as caught:
        await imported(broker, document)
    assert caught.value.path == path
    assert list(broker.users.users) == ["guest"]


async def test_a_hash_lets_its_password_in() -> None:
    broker = new_broker()
    await imported(broker, sample())
    assert broker.users.verify("u", b"test12").tags == ("administrator", "x")


async def test_a_scrypt_hash_needs_no_name_of_its_algorithm() -> None:
    # A14.3
    broker = new_broker()
    made = hash_with_scrypt(b"p", ScryptCost(ln=4, r=1, p=1))
    await imported(broker, only(users={"name": "u", "password_hash": made}))
    assert broker.users.verify("u", b"p").hashing_algorithm == SCRYPT


async def test_an_empty_hash_lets_no_password_in() -> None:
    broker = new_broker()
    await imported(broker, only(users={"name": "u", "password_hash": "", "tags": ""}))
    assert broker.users.users["u"].password_hash is None


async def test_a_password_in_the_clear_is_hashed_once() -> None:
    broker = new_broker()
    document = only(users={"name": "u", "password": "p", "tags": []})
    await imported(broker, document)
    user = broker.users.verify("u", b"p")
    assert user.hashing_algorithm == SHA256
    await imported(broker, document)
    assert broker.users.users["u"] is user


async def test_a_user_keeps_what_the_file_does_not_say() -> None:
    broker = new_broker()
    await imported(broker, only(users={"name": "u", "password_hash": HASH, "tags": "a"}))
    await imported(broker, only(users={"name": "u", "limits": {"max-channels": 1}}))
    user = broker.users.users["u"]
    assert (user.password_hash, user.tags, user.limits) == (HASH, ("a",), {"max-channels": 1})
