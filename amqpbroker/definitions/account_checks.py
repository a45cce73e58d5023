"""Checks of users and of what they may do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqpbroker.auth.exceptions import InvalidRegexp
from amqpbroker.auth.passwords import (
    ALGORITHMS,
    RABBIT_DIGESTS,
    SCRYPT,
    SCRYPT_START,
    SHA256,
    algorithm_of,
    hash_with_digest,
    is_well_formed,
    verify_password,
)
from amqpbroker.auth.principal import User
from amqpbroker.auth.regexps import compile_regexp
from amqpbroker.auth.users import Permissions, TopicPermissions
from amqpbroker.broker.quotas import RATE_LIMITS, USER_LIMITS, divided
from amqpbroker.definitions.exceptions import DefinitionsError, mismatch

if TYPE_CHECKING:
    from collections.abc import Collection

    from amqpbroker.broker.broker import Broker
    from amqpbroker.definitions import models
    from amqpbroker.definitions.plan import Plan


def check_limits(values: object, known: Collection[str], path: str) -> dict[str, int]:
    """Return limits; a negative one is none.

    Raises :class:`DefinitionsError`: no object, an unknown limit, no integer.
    """
    if values == []:
        return {}
    if not isinstance(values, dict):
        raise mismatch(path, "an object", values)
    for name, value in values.items():
        if name not in known:
            raise mismatch(f"{path}.{name}", f"a limit of these: {', '.join(known)}", name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise mismatch(f"{path}.{name}", "an integer", value)
    return values


class AccountChecks:
    """Puts users and permissions that differ from the broker's into the plan."""

    def __init__(self, broker: Broker, plan: Plan, vhosts: Collection[str]) -> None:
        self._store = broker.users
        self._plan = plan
        self._vhosts = vhosts
        self.known = set(broker.users.users)
        """Names of users who are here or in the file."""

    def take_user(self, item: models.User, path: str) -> None:
        """Plan a user, new or changed; one that is there keeps what the file does not say."""
        old = self._store.users.get(item.name)
        given = item.model_fields_set
        password_hash, algorithm = _credentials(item, old, path)
        is_same_hash = old is not None and old.password_hash == password_hash
        limits = check_limits(item.limits, USER_LIMITS, f"{path}.limits")
        rates = check_limits(item.publish_limits, RATE_LIMITS, f"{path}.publish_limits")
        old_counts, old_rates = divided({} if old is None else old.limits)
        counts = limits if "limits" in given else old_counts
        rates = rates if "publish_limits" in given else old_rates
        user = User(
            item.name,
            password_hash,
            algorithm,
            item.tags if old is None or "tags" in given else old.tags,
            rates | counts,
            old.scram_keys if old is not None and is_same_hash else (),
        )
        self.known.add(item.name)
        if user != old:
            self._plan.users[item.name] = user

    def take_permission(self, item: models.Permission, path: str) -> None:
        """Plan what a user may do in a vhost."""
        self._check_names(item, path)
        permissions = Permissions(item.configure, item.write, item.read)
        _check_patterns(permissions, path)
        if self._store.permissions.get((item.user, item.vhost)) != permissions:
            self._plan.permissions[item.vhost, item.user] = permissions

    def take_topic_permission(self, item: models.TopicPermission, path: str) -> None:
        """Plan which routing keys a user may use."""
        self._check_names(item, path)
        permissions = TopicPermissions(item.write, item.read)
        _check_patterns(permissions, path)
        key = item.user, item.vhost, item.exchange
        if self._store.topic_permissions.get(key) != permissions:
            self._plan.topic_permissions[item.vhost, item.user, item.exchange] = permissions

    def _check_names(self, item: models.Permission | models.TopicPermission, path: str) -> None:
        if item.user not in self.known:
            raise mismatch(f"{path}.user", "a user who is here or in the file", item.user)
        if item.vhost not in self._vhosts:
            raise mismatch(f"{path}.vhost", "a vhost that is here or in the file", item.vhost)


def _check_patterns(patterns: Permissions | TopicPermissions, path: str) -> None:
    for name, pattern in patterns._asdict().items():
        try:
            compile_regexp(pattern)
        except InvalidRegexp as error:
            text = f"expected a regular expression, found {error}"
            raise DefinitionsError(f"{path}.{name}", text) from None


def _credentials(item: models.User, old: User | None, path: str) -> tuple[str | None, str]:
    """Return hash and algorithm of a user.

    A password in the clear is hashed with SHA-256, so that a thousand of them cost no scrypt.
    """
    algorithm = item.hashing_algorithm or algorithm_of(item.password_hash or "")
    if algorithm not in ALGORITHMS:
        known = ", ".join(sorted(ALGORITHMS))
        raise mismatch(f"{path}.hashing_algorithm", f"one of {known}", algorithm)
    if item.password_hash:
        _check_hash(item.password_hash, algorithm, f"{path}.password_hash")
        return item.password_hash, algorithm
    if item.password:
        password = item.password.encode("utf-8", "surrogatepass")
        if old is not None and _is_password_of(old, password):
            return old.password_hash, old.hashing_algorithm
        return hash_with_digest(password, SHA256), SHA256
    if old is not None and item.password_hash is None and item.password is None:
        return old.password_hash, old.hashing_algorithm
    return None, algorithm


def _is_password_of(user: User, password: bytes) -> bool:
    """Return whether a user has this password already, as far as that is fast to find out."""
    algorithm = user.hashing_algorithm
    if not user.password_hash or algorithm not in RABBIT_DIGESTS:
        return False
    return verify_password(user.password_hash, algorithm, password)


def _check_hash(password_hash: str, algorithm: str, path: str) -> None:
    """Refuse what cannot be a hash; the text does not show it."""
    if is_well_formed(password_hash, algorithm):
        return
    if algorithm == SCRYPT:
        text = f"expected a whole hash that begins with {SCRYPT_START}, found something else"
        raise DefinitionsError(path, f"{text}, not shown")
    raise DefinitionsError(path, "expected base64, found something else, not shown")
