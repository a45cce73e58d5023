"""Tokens of OAuth 2 (JWT) as passwords, RabbitMQ's ``oauth2`` (FEATURES A15.6).

The token says who it is and what they may do; the user name that comes with it counts for nothing.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

import jwt

from amqpbroker.auth.backends.backend import BackendFailed, Grant
from amqpbroker.auth.backends.claims import InvalidClaims, Token, expired, read_claims
from amqpbroker.auth.backends.signing_keys import KeyNotFound
from amqpbroker.auth.exceptions import AuthenticationFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from amqpbroker.auth.backends.claims import ClaimRules
    from amqpbroker.auth.backends.signing_keys import SigningKeys
    from amqpbroker.auth.permissions import Kind, Permission, TopicPermission
    from amqpbroker.auth.sasl.mechanism import Peer

logger = logging.getLogger("amqpbroker.oauth2")

NAME: Final = "rabbit_auth_backend_oauth2"
FAILED: Final = "Authentication using an OAuth 2/JWT token failed"
_OPTIONS: Final[Any] = {
    "verify_signature": True,
    "verify_aud": False,
    "verify_exp": False,
    "verify_iat": False,
    "verify_iss": False,
    "verify_jti": False,
    "verify_nbf": False,
    "verify_sub": False,
}
"""The claims are looked at in ``claims``, by this process's own clock."""


class TokenAuthority:
    """What the scopes of a token grant, for as long as it is valid."""

    is_remote = False

    def __init__(self, backend: OAuth2Backend, token: Token) -> None:
        self._backend = backend
        self._token = token

    def may_enter(self, vhost: str) -> bool:
        """Return whether any scope is about the vhost."""
        self._check_valid()
        return self._token.scopes.may_enter(vhost)

    def may_use(self, vhost: str, kind: Kind, name: str, permission: Permission) -> bool:
        """Return whether a scope grants it; queues and exchanges are not told apart."""
        self._check_valid()
        return self._token.scopes.may_use(vhost, name, permission)

    def may_use_topic(
        self,
        vhost: str,
        exchange: str,
        routing_key: str,
        permission: TopicPermission,
        variables: Mapping[str, str],
    ) -> bool:
        """Return whether a scope with a routing key grants it."""
        self._check_valid()
        return self._token.scopes.may_use_topic(vhost, exchange, routing_key, permission)

    async def renew(self, secret: bytes) -> Grant | None:
        """Go on with another token of the same user (FEATURES A1.14)."""
        name = self._token.username
        grant = await self._backend.log_in(name, secret, None)
        if grant.username != name:
            raise AuthenticationFailed(name, "Not allowed to change username on refreshed token")
        return grant

    def _check_valid(self) -> None:
        ends_at_s, now_s = self._token.expires_at_s, self._backend.now()
        if ends_at_s is not None and ends_at_s <= now_s:
            raise BackendFailed(NAME, expired(ends_at_s, now_s))


class OAuth2Backend:
    """Believes in tokens that one of ``keys`` has signed and that keep to ``rules``."""

    name = NAME

    def __init__(
        self,
        rules: ClaimRules,
        keys: SigningKeys,
        now: Callable[[], float],
        *,
        algorithms: frozenset[str] | None = None,
        default_key: str | None = None,
    ) -> None:
        """``now`` is Unix time in seconds; ``default_key`` is for tokens that name no key.

        ``algorithms`` None are all that a key is good for.
        """
        self.now = now
        self._rules = rules
        self._keys = keys
        self._algorithms = algorithms
        self._default_key = default_key

    async def log_in(self, username: str, password: bytes | None, peer: Peer | None) -> Grant:
        """Return what the token in ``password`` grants.

        :raises AuthenticationFailed: why not; the token itself is never named.
        """
        if not password:
            raise AuthenticationFailed(username, f"{FAILED}: no token")
        try:
            claims = await self._verified(password)
            token = read_claims(claims, self._rules, self.now())
        except (InvalidClaims, KeyNotFound) as error:
            raise AuthenticationFailed(username, f"{FAILED}: {error}") from None
        except jwt.InvalidSignatureError:
            raise AuthenticationFailed(username, f"{FAILED}: signature_invalid") from None
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise AuthenticationFailed(username, f"{FAILED}: provided token is invalid") from None
        authority = TokenAuthority(self, token)
        return Grant(token.username, authority, token.scopes.tags, token.expires_at_s)

    async def authorize(self, username: str, password: bytes | None, peer: Peer) -> Grant:
        """Return what the token grants a user whom another backend has let in; no tags."""
        grant = await self.log_in(username, password, peer)
        return Grant(grant.username, grant.authority, (), grant.expires_at_s)

    async def _verified(self, token: bytes) -> Mapping[str, Any]:
        header = jwt.get_unverified_header(token)
        key_id = header.get("kid", self._default_key)
        if not isinstance(key_id, str):
            raise KeyNotFound("key_not_found")
        key = await self._keys.find(key_id)
        algorithm = str(header.get("alg"))
        is_known = algorithm in key.algorithms
        if not is_known or (self._algorithms is not None and algorithm not in self._algorithms):
            raise KeyNotFound(f"the key '{key_id}' is not for the token's algorithm")
        claims: Mapping[str, Any] = jwt.decode(
            token, key.load(algorithm), algorithms=[algorithm], options=_OPTIONS
        )
        return claims
