"""The broker's own users and permissions, RabbitMQ's ``internal`` (FEATURES A15.7, A15.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from amqpbroker.auth.backends.backend import Grant
from amqpbroker.auth.login_threads import run_in_login_thread
from amqpbroker.auth.regexps import matches
from amqpbroker.auth.variables import expand_variables

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amqpbroker.auth.permissions import Kind, Permission, TopicPermission
    from amqpbroker.auth.sasl.mechanism import Peer
    from amqpbroker.auth.users import UserStore

NAME: Final = "rabbit_auth_backend_internal"


class InternalAuthority:
    """The rows of one user; a change of them counts at once."""

    __slots__ = ("_store", "_username")

    is_remote = False

    def __init__(self, store: UserStore, username: str) -> None:
        self._store = store
        self._username = username

    def may_enter(self, vhost: str) -> bool:
        """Return whether there is a row for the vhost, whatever it permits."""
        return (self._username, vhost) in self._store.permissions

    def may_use(self, vhost: str, kind: Kind, name: str, permission: Permission) -> bool:
        """Return whether the pattern of the permission matches the name."""
        row = self._store.permissions.get((self._username, vhost))
        return row is not None and matches(getattr(row, permission), name)

    def may_use_topic(
        self,
        vhost: str,
        exchange: str,
        routing_key: str,
        permission: TopicPermission,
        variables: Mapping[str, str],
    ) -> bool:
        """Return whether the pattern matches the routing key; no row, no limit (A15.9)."""
        row = self._store.topic_permissions.get((self._username, vhost, exchange))
        if row is None:
            return True
        values = {**variables, "username": self._username, "vhost": vhost}
        return matches(expand_variables(getattr(row, permission), values), routing_key)

    async def renew(self, secret: bytes) -> Grant | None:
        """Passwords are checked at login only."""
        return None


class InternalBackend:
    """The user database."""

    name = NAME

    def __init__(self, store: UserStore) -> None:
        self._store = store

    async def log_in(self, username: str, password: bytes | None, peer: Peer) -> Grant:
        """Check a password; one that is new to scrypt takes a thread some 50 ms."""
        store = self._store
        if password is None:
            user = store.proven(username)
        elif store.is_slow(username, password):
            user = await run_in_login_thread(store.verify, username, password)
        else:
            user = store.verify(username, password)
        return Grant(user.name, InternalAuthority(store, user.name), user.tags)

    async def authorize(self, username: str, password: bytes | None, peer: Peer) -> Grant:
        """Find the user: the password is another backend's."""
        return await self.log_in(username, None, peer)
