"""From the claims of a token to a user: audience, name, scopes (FEATURES A15.6).

As RabbitMQ's ``rabbit_auth_backend_oauth2`` finds them. The signature is verified elsewhere
(``oauth2``); nothing here believes in a claim that a rule is against.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from amqpbroker.auth.backends.scopes import Scopes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

SCOPE_COUNT_MAX: Final = 2048
"""Scopes of one token, as RabbitMQ has it."""
USERNAME_CLAIMS: Final = ("sub", "client_id")
NO_USERNAME: Final = "unknown"
REQUESTING_PARTY_SCOPES: Final = "authorization.permissions.scopes"
"""Where Keycloak's requesting party tokens keep scopes."""


class InvalidClaims(Exception):
    """A token that is genuine, but not for us, not now, or not usable."""


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """What tokens must be like; the names are those of ``auth_oauth2.*`` in rabbitmq.conf."""

    resource_server_id: str
    scope_prefix: str | None = None
    """None: the id and a dot."""
    verify_aud: bool = True
    require_exp: bool = True
    additional_scopes_key: str | None = None
    scope_aliases: Mapping[str, str] = field(default_factory=dict)
    """Scope → scopes with blanks between them, which it brings along."""
    preferred_username_claims: tuple[str, ...] = ()

    @property
    def prefix(self) -> str:
        """What the scopes begin with that are meant for this broker."""
        return f"{self.resource_server_id}." if self.scope_prefix is None else self.scope_prefix


@dataclass(frozen=True, slots=True)
class Token:
    """A token that holds good until ``expires_at_s`` (Unix time)."""

    username: str
    scopes: Scopes = field(repr=False)
    expires_at_s: int | None


def read_claims(claims: Mapping[str, Any], rules: ClaimRules, now_s: float) -> Token:
    """Return what a token says.

    :raises InvalidClaims: it is for another audience, it has expired, and so on.
    """
    _check_audience(claims.get("aud"), rules)
    expires_at_s = _expiry(claims, rules, now_s)
    not_before = claims.get("nbf")
    if isinstance(not_before, int | float) and not_before > now_s:
        raise InvalidClaims(f"Provided JWT token is not valid before timestamp {int(not_before)}")
    names = (claims.get(key) for key in (*rules.preferred_username_claims, *USERNAME_CLAIMS))
    username = next((name for name in names if isinstance(name, str)), NO_USERNAME)
    return Token(username, Scopes(_scopes(claims, rules), claims), expires_at_s)


def _check_audience(audience: object, rules: ClaimRules) -> None:
    if not rules.verify_aud:
        return
    if audience is None:
        raise InvalidClaims("no_aud_found")
    if rules.resource_server_id not in _words(audience):
        raise InvalidClaims("no_matching_aud_found")


def _expiry(claims: Mapping[str, Any], rules: ClaimRules, now_s: float) -> int | None:
    expires_at_s = claims.get("exp")
    if expires_at_s is None:
        if rules.require_exp:
            raise InvalidClaims("Provided JWT token has no exp claim")
        return None
    if not isinstance(expires_at_s, int | float) or isinstance(expires_at_s, bool):
        raise InvalidClaims("Provided JWT token has an invalid exp claim: value is not a number")
    if int(expires_at_s) <= now_s:
        raise InvalidClaims(expired(int(expires_at_s), now_s))
    return int(expires_at_s)


def expired(expires_at_s: int, now_s: float) -> str:
    """Return RabbitMQ's words for a token whose time is over."""
    return f"Provided JWT token has expired at timestamp {expires_at_s} (validated at {int(now_s)})"


def _scopes(claims: Mapping[str, Any], rules: ClaimRules) -> list[str]:
    """Return the scopes for this broker without their prefix, each once."""
    found = [*_words(claims.get("scope"))]
    for path in (REQUESTING_PARTY_SCOPES, *(rules.additional_scopes_key or "").split()):
        for value in _values(claims, path.split(".")):
            found += _words_for(value, rules.resource_server_id)
    for text in tuple(found):
        found += rules.scope_aliases.get(text, "").split()
    prefix = rules.prefix
    mine = dict.fromkeys(text.removeprefix(prefix) for text in found if text.startswith(prefix))
    if len(mine) > SCOPE_COUNT_MAX:
        raise InvalidClaims("too_many_scopes")
    return list(mine)


def _words(value: object) -> Iterable[str]:
    if isinstance(value, str):
        return value.split()
    if isinstance(value, list):
        return [word for word in value if isinstance(word, str)]
    return []


def _words_for(value: object, resource_server_id: str) -> Iterable[str]:
    """Return scopes of an additional key, which may be sorted by resource server."""
    if isinstance(value, dict):
        return [f"{resource_server_id}.{word}" for word in _words(value.get(resource_server_id))]
    return _words(value)


def _values(value: object, path: list[str]) -> Iterator[object]:
    """Yield what stands at the end of a path through objects and lists of them."""
    if not path:
        yield value
    elif isinstance(value, dict):
        if path[0] in value:
            yield from _values(value[path[0]], path[1:])
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, dict):
                yield from _values(item, path)
