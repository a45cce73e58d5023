"""Scopes of OAuth 2 as permissions, in RabbitMQ's syntax (FEATURES A15.6)::

    read:VHOST/NAME                     configure, write, read of queues and exchanges
    write:VHOST/NAME/ROUTING_KEY        the same, and of routing keys of topic exchanges
    tag:administrator                   tags of the management API

Each part is a pattern in which ``*`` stands for anything; what is no pattern is percent-encoded, so
the vhost ``/`` is ``%2F``. ``{vhost}`` and ``{claim}`` stand for the vhost and for a claim of the
token. Scopes of another form mean nothing here and are passed over.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote, unquote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TAG_PREFIX: Final = "tag:"
PERMISSIONS: Final = frozenset({"configure", "write", "read"})
_BROKEN_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_VARIABLE: Final = re.compile(r"\{([^{}]*)\}")


class Scope(NamedTuple):
    """One scope that grants a permission; ``routing_key`` None: nothing on topics."""

    permission: str
    vhost: str
    name: str
    routing_key: str | None = None


def parse_scope(text: str) -> Scope | None:
    """Return what a scope without its prefix grants, None for no permission."""
    permission, colon, resource = text.partition(":")
    if not colon or permission not in PERMISSIONS:
        return None
    parts = resource.split("/")
    if len(parts) not in (2, 3):
        return None
    return Scope(permission, *parts)


def matches(pattern: str, subject: str) -> bool:
    """Return whether a pattern covers the whole subject; takes time in proportion to it."""
    if _BROKEN_ESCAPE.search(pattern):
        return False
    parts = [unquote_plus(part, errors="surrogateescape") for part in pattern.split("*")]
    if len(parts) == 1:
        return subject == parts[0]
    first, *middle, last = parts
    position, end = len(first), len(subject) - len(last)
    if not (subject.startswith(first) and subject.endswith(last)):
        return False
    for part in middle:
        found = subject.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return position <= end


class Scopes:
    """What the scopes of one token grant."""

    def __init__(self, texts: Iterable[str], claims: Mapping[str, Any]) -> None:
        texts = tuple(texts)
        self.tags = tuple(
            sorted({text.removeprefix(TAG_PREFIX) for text in texts if text.startswith(TAG_PREFIX)})
        )
        self._texts = tuple(text for text in texts if not text.startswith(TAG_PREFIX))
        self._claims = claims
        self._by_vhost: dict[str, tuple[Scope, ...]] = {}
        """Of the vhosts asked for, which are few: a connection has one."""

    def may_enter(self, vhost: str) -> bool:
        """Return whether any scope is about the vhost."""
        return bool(self._of(vhost))

    def may_use(self, vhost: str, name: str, permission: str) -> bool:
        """Return whether a scope grants the permission on a queue or an exchange."""
        return any(
            scope.permission == permission and matches(scope.name, name)
            for scope in self._of(vhost)
        )

    def may_use_topic(self, vhost: str, exchange: str, routing_key: str, permission: str) -> bool:
        """Return whether a scope with three parts grants the permission on a routing key."""
        return any(
            scope.permission == permission
            and scope.routing_key is not None
            and matches(scope.name, exchange)
            and matches(scope.routing_key, routing_key)
            for scope in self._of(vhost)
        )

    def _of(self, vhost: str) -> tuple[Scope, ...]:
        if vhost not in self._by_vhost:
            scopes = (parse_scope(self._expand(text, vhost)) for text in self._texts)
            self._by_vhost[vhost] = tuple(
                scope for scope in scopes if scope is not None and matches(scope.vhost, vhost)
            )
        return self._by_vhost[vhost]

    def _expand(self, text: str, vhost: str) -> str:
        """Put values in place of variables, letter by letter; one that is unknown is its name.

        RabbitMQ takes ``*`` and ``/`` in a value for a pattern and for the end of a part.
        """

        def value_of(match: re.Match[str]) -> str:
            value = vhost if match[1] == "vhost" else self._claims.get(match[1])
            return quote(
                value if isinstance(value, str) else match[1], safe="", errors="surrogateescape"
            )

        return _VARIABLE.sub(value_of, text)
