"""Who somebody is: the stored user, and the principal of a connection that has logged in."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amqpbroker.auth.backends.backend import Authority

ADMINISTRATOR: Final = "administrator"
POLICYMAKER: Final = "policymaker"
MONITORING: Final = "monitoring"
MANAGEMENT: Final = "management"
IMPERSONATOR: Final = "impersonator"

IMPLIED_BY: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        MANAGEMENT: frozenset({MANAGEMENT, POLICYMAKER, MONITORING, ADMINISTRATOR}),
        POLICYMAKER: frozenset({POLICYMAKER, ADMINISTRATOR}),
        MONITORING: frozenset({MONITORING, ADMINISTRATOR}),
    }
)
"""Tag → the tags that include it, as RabbitMQ's management API has it (FEATURES A15.11).

Nothing includes ``impersonator``, not even ``administrator``.
"""


def has_tag(tags: tuple[str, ...], tag: str) -> bool:
    """Return whether ``tags`` hold ``tag`` or one that includes it."""
    return not IMPLIED_BY.get(tag, frozenset({tag})).isdisjoint(tags)


@dataclass(frozen=True, slots=True)
class User:
    """A user as it is stored; a change makes a new one.

    ``password_hash`` and ``hashing_algorithm`` belong together (see ``passwords``); ``None`` means
    that no password logs this user in. ``scram_keys`` are what SCRAM needs instead of the hash, one
    text per mechanism. ``limits`` are ``max-connections`` and ``max-channels`` (FEATURES A15.10).
    """

    name: str
    password_hash: str | None = field(repr=False)
    hashing_algorithm: str
    tags: tuple[str, ...] = ()
    limits: Mapping[str, int] = field(default_factory=dict, hash=False)
    scram_keys: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Principal:
    """The user that a connection has proven to be. Tags are those of the moment of login.

    ``authorities`` say what it may do; all must agree, and none means nothing. It is over at
    ``expires_at_s`` (Unix time), if at all.
    """

    username: str
    tags: tuple[str, ...] = ()
    authorities: tuple[Authority, ...] = field(default=(), compare=False, repr=False)
    expires_at_s: int | None = field(default=None, compare=False)

    @property
    def is_remote(self) -> bool:
        """Whether what it may do is asked elsewhere."""
        return any(authority.is_remote for authority in self.authorities)

    @property
    def is_impersonator(self) -> bool:
        """Whether messages may carry another user's name in ``user_id``."""
        return IMPERSONATOR in self.tags

    def has_tag(self, tag: str) -> bool:
        """Return whether the principal holds ``tag`` or one that includes it."""
        return has_tag(self.tags, tag)
