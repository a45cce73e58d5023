"""The users and what they may do: plain dicts, changed by the management API and by start-up.

Nothing here knows of vhosts or of the catalog that keeps the rows: the caller checks that a vhost
is there, makes the change durable, and calls :meth:`UserStore.load` at start-up. ``generation``
goes up with every change: a channel that cached a decision asks again only after one (FEATURES
A15.12).
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from amqpbroker.auth.exceptions import AuthenticationFailed, NoSuchUser, UserExists
from amqpbroker.auth.passwords import SCRYPT, SHA256, Passwords, hash_with_digest
from amqpbroker.auth.principal import ADMINISTRATOR, User
from amqpbroker.auth.regexps import compile_regexp
from amqpbroker.auth.scram_keys import make_scram_keys
from amqpbroker.auth.secret_file import SECRET_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

DEFAULT_USERNAME: Final = "guest"
DEFAULT_PASSWORD: Final = "guest"
DEFAULT_VHOST: Final = "/"
LOOPBACK_USERS: Final = frozenset({DEFAULT_USERNAME})
"""Users who may log in from this machine only (FEATURES A1.19)."""


class Permissions(NamedTuple):
    """Three patterns over names of queues and exchanges, unanchored; ``""`` permits nothing."""

    configure: str
    write: str
    read: str


class TopicPermissions(NamedTuple):
    """Two patterns over routing keys of one topic exchange, unanchored."""

    write: str
    read: str


ALL: Final = Permissions(".*", ".*", ".*")


class UserStore:
    """Users by name, permissions by (username, vhost), topic permissions by (…, exchange).

    Read the three dicts freely; change them through the methods alone.
    """

    def __init__(
        self,
        passwords: Passwords | None = None,
        loopback_users: Iterable[str] = LOOPBACK_USERS,
    ) -> None:
        self.passwords = Passwords() if passwords is None else passwords
        self.loopback_users = frozenset(loopback_users)
        self.users: dict[str, User] = {}
        self.permissions: dict[tuple[str, str], Permissions] = {}
        self.topic_permissions: dict[tuple[str, str, str], TopicPermissions] = {}
        self.generation = 0
        self.decoy_key = secrets.token_bytes(SECRET_SIZE)
        """Makes the salts that SCRAM shows for users who do not exist."""

    # Filling

    def load(
        self,
        users: Iterable[User],
        permissions: Mapping[tuple[str, str], Permissions],
        topic_permissions: Mapping[tuple[str, str, str], TopicPermissions],
    ) -> None:
        """Take over stored rows as they are; a pattern that does not compile will deny."""
        self.users.update((user.name, user) for user in users)
        self.permissions.update(permissions)
        self.topic_permissions.update(topic_permissions)
        self.generation += 1

    def add_default_user(
        self,
        username: str = DEFAULT_USERNAME,
        password: str = DEFAULT_PASSWORD,
        vhost: str = DEFAULT_VHOST,
    ) -> User:
        """Add the user of an empty database: administrator, with every permission on ``vhost``."""
        user = self.put_user(self.default_user(username, password))
        self.set_permissions(username, vhost, ALL)
        return user

    def default_user(self, username: str, password: str) -> User:
        """Return the administrator whom an empty database begins with.

        The password is hashed with SHA-256 whatever the setting, so that starting costs no scrypt;
        it is a public one, or stands in the clear in a configuration (FEATURES A15.13).
        """
        return User(
            username,
            hash_with_digest(password.encode(), SHA256),
            SHA256,
            tags=(ADMINISTRATOR,),
            scram_keys=self._scram_keys(password),
        )

    # Users

    def user(self, username: str) -> User:
        """Return a user.

        :raises NoSuchUser: there is none of this name.
        """
        try:
            return self.users[username]
        except KeyError:
            raise NoSuchUser(username) from None

    def add_user(
        self,
        username: str,
        password: str | None,
        *,
        tags: Iterable[str] = (),
        limits: Mapping[str, int] | None = None,
    ) -> User:
        """Add a user; without a password only a certificate logs in. Hashes: some 50 ms.

        :raises UserExists: the name is taken.
        """
        if username in self.users:
            raise UserExists(username)
        blank = User(username, None, self.passwords.algorithm, tuple(tags), dict(limits or {}))
        return self.put_user(self._with_password(blank, password))

    def put_user(self, user: User) -> User:
        """Add or replace a user whose hash is known (definitions, password_hash of the API)."""
        self.users[user.name] = user
        self.generation += 1
        return user

    def delete_user(self, username: str) -> None:
        """Delete a user with all its permissions.

        :raises NoSuchUser: there is none of this name.
        """
        self.user(username)
        del self.users[username]
        self._keep(lambda owner, _vhost: owner != username)

    def set_password(self, username: str, password: str | None) -> User:
        """Change or (``None``) clear a password. Hashes: some 50 ms.

        :raises NoSuchUser: there is none of this name.
        """
        return self.put_user(self._with_password(self.user(username), password))

    def set_tags(self, username: str, tags: Iterable[str]) -> User:
        """Replace a user's tags.

        :raises NoSuchUser: there is none of this name.
        """
        return self.put_user(replace(self.user(username), tags=tuple(tags)))

    def set_limits(self, username: str, limits: Mapping[str, int]) -> User:
        """Replace a user's limits.

        :raises NoSuchUser: there is none of this name.
        """
        return self.put_user(replace(self.user(username), limits=dict(limits)))

    def _with_password(self, user: User, password: str | None) -> User:
        if not password:
            return replace(user, password_hash=None, scram_keys=())
        return replace(
            user,
            password_hash=self.passwords.hash(password.encode()),
            hashing_algorithm=self.passwords.algorithm,
            scram_keys=self._scram_keys(password),
        )

    def _scram_keys(self, password: str) -> tuple[str, ...]:
        """Return keys for each mechanism of SCRAM that is on, none for a password it forbids."""
        iterations = self.passwords.scram_iterations
        with suppress(ValueError):
            return tuple(
                make_scram_keys(mechanism, password, iterations)
                for mechanism in self.passwords.scram_mechanisms
            )
        return ()

    # Permissions

    def set_permissions(self, username: str, vhost: str, permissions: Permissions) -> None:
        """Set what a user may do in a vhost; that there is a row at all lets it in.

        :raises NoSuchUser: there is none of this name.
        :raises InvalidRegexp: a pattern does not compile.
        """
        self.user(username)
        for pattern in permissions:
            compile_regexp(pattern)
        self.permissions[username, vhost] = permissions
        self.generation += 1

    def clear_permissions(self, username: str, vhost: str) -> None:
        """Take a vhost from a user; nothing happens if it had none.

        :raises NoSuchUser: there is none of this name.
        """
        self.user(username)
        self.permissions.pop((username, vhost), None)
        self.generation += 1

    def set_topic_permissions(
        self, username: str, vhost: str, exchange: str, permissions: TopicPermissions
    ) -> None:
        """Set which routing keys of a topic exchange a user may write and read.

        :raises NoSuchUser: there is none of this name.
        :raises InvalidRegexp: a pattern does not compile.
        """
        self.user(username)
        for pattern in permissions:
            compile_regexp(pattern)
        self.topic_permissions[username, vhost, exchange] = permissions
        self.generation += 1

    def clear_topic_permissions(
        self, username: str, vhost: str, exchange: str | None = None
    ) -> None:
        """Lift the topic permissions of one exchange, or of all in the vhost.

        :raises NoSuchUser: there is none of this name.
        """
        self.user(username)
        self.topic_permissions = {
            key: value
            for key, value in self.topic_permissions.items()
            if key[:2] != (username, vhost) or exchange not in (None, key[2])
        }
        self.generation += 1

    def delete_vhost(self, vhost: str) -> None:
        """Drop all permissions on a vhost that is gone."""
        self._keep(lambda _owner, where: where != vhost)

    def _keep(self, keeps: Callable[[str, str], bool]) -> None:
        self.permissions = {k: v for k, v in self.permissions.items() if keeps(*k)}
        self.topic_permissions = {
            k: v for k, v in self.topic_permissions.items() if keeps(k[0], k[1])
        }
        self.generation += 1

    # Logging in

    def verify(self, username: str, password: bytes) -> User:
        """Return the user whose password this is.

        A new scrypt check takes some 50 ms; see :meth:`is_slow`. An unknown user takes as long as a
        wrong password, also if the password was hashed by something quick: who does not know it
        learns no names.

        :raises AuthenticationFailed: no such user, no password set, or another one.
        """
        if not password:
            raise AuthenticationFailed(
                username, f"user '{username}' attempted to log in with a blank password"
            )
        user = self.users.get(username)
        if user is not None and user.password_hash is not None:
            if self.passwords.verify(user.password_hash, user.hashing_algorithm, password):
                return user
            if user.hashing_algorithm != SCRYPT:
                self.passwords.waste_time(password)
        else:
            self.passwords.waste_time(password)
        raise AuthenticationFailed(username, f"user '{username}' - invalid credentials")

    def is_slow(self, username: str, password: bytes) -> bool:
        """Return whether :meth:`verify` is better called in a thread."""
        if not password:
            return False
        user = self.users.get(username)
        if user is None or user.password_hash is None:
            return self.passwords.is_hashing_slow
        stored = user.password_hash, user.hashing_algorithm, password
        if user.hashing_algorithm != SCRYPT and not self.passwords.verify(*stored):
            return self.passwords.is_hashing_slow
        return self.passwords.is_slow(*stored)

    def proven(self, username: str) -> User:
        """Return a user who has proven itself by other means than a password.

        :raises AuthenticationFailed: no such user.
        """
        user = self.users.get(username)
        if user is None:
            raise AuthenticationFailed(username, f"user '{username}' - invalid credentials")
        return user
