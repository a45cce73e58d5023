"""Changes of vhosts, users and permissions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpbroker.auth.exceptions import InvalidRegexp, NoSuchUser
from amqpbroker.auth.principal import User
from amqpbroker.auth.users import ALL, Permissions, TopicPermissions
from amqpbroker.broker.opening import open_broker
from amqpbroker.config import Config
from amqpbroker.management import accounts

if TYPE_CHECKING:
    from pathlib import Path

PATTERNS = Permissions("^a", "^b", "^c")
TOPICS = TopicPermissions("^d", "^e")


def user(name: str) -> User:
    return User(name, None, "rabbit_password_hashing_sha256", ("management",))


async def test_they_survive_a_restart(tmp_path: Path) -> None:
    config = Config(data_dir=tmp_path)
    async with open_broker(config) as broker:
        for name in ("v", "gone"):
            await accounts.add_vhost(broker, name, "guest")
        for name in ("kept", "barred", "gone"):
            await accounts.put_user(broker, user(name))
            await accounts.permit(broker, name, "v", PATTERNS)
            await accounts.permit_topics(broker, name, "v", "amq.topic", TOPICS)
        await accounts.forbid(broker, "barred", "v")
        await accounts.forbid_topics(broker, "barred", "v")
        await accounts.delete_user(broker, "gone")
        await accounts.delete_vhost(broker, broker.vhosts["gone"])
    async with open_broker(config) as broker:
        users = broker.users
        assert set(broker.vhosts) == {"/", "v"}
        assert set(users.users) == {"guest", "kept", "barred"}
        assert users.user("kept") == user("kept")
        own = {("guest", "/"): ALL, ("guest", "v"): ALL}
        assert users.permissions == {**own, ("kept", "v"): PATTERNS}
        assert users.topic_permissions == {("kept", "v", "amq.topic"): TOPICS}


async def test_a_change_of_permissions_voids_what_was_routed() -> None:
    async with open_broker(Config(is_memory=True)) as broker:
        epoch = broker.vhosts["/"].epoch
        await accounts.permit(broker, "guest", "/", PATTERNS)
        assert broker.vhosts["/"].epoch is not epoch


async def test_what_cannot_be_changes_nothing() -> None:
    async with open_broker(Config(is_memory=True)) as broker:
        with pytest.raises(NoSuchUser):
            await accounts.permit(broker, "nobody", "/", PATTERNS)
        with pytest.raises(NoSuchUser):
            await accounts.delete_user(broker, "nobody")
        with pytest.raises(InvalidRegexp):
            await accounts.permit(broker, "guest", "/", Permissions("(", "", ""))
        assert broker.users.permissions == {("guest", "/"): ALL}
