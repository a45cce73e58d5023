"""The way in: backends in the order of ``auth_backends``; the first that lets somebody in decides.

Each place in the chain is one backend, or two: one that knows who it is, one that knows what they
may do (https://www.rabbitmq.com/docs/access-control#combined-backends).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from amqpbroker.auth.backends.internal import InternalBackend
from amqpbroker.auth.exceptions import AuthenticationFailed
from amqpbroker.auth.principal import Principal
from amqpbroker.auth.sasl.mechanism import Credentials, StoredIdentity
from amqpbroker.auth.scram_keys import SCRAM_MECHANISMS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from amqpbroker.auth.backends.backend import Backend, Grant
    from amqpbroker.auth.sasl.mechanism import Identity, Peer
    from amqpbroker.auth.users import UserStore

    Claim = Credentials | Identity | StoredIdentity


class Link(NamedTuple):
    """Who knows the user, and who knows what the user may do; often the same."""

    authentication: Backend
    authorization: Backend

    async def log_in(self, username: str, password: bytes | None, peer: Peer) -> Principal:
        """Return the principal.

        :raises AuthenticationFailed: one of the two does not want it.
        """
        grant = await self.authentication.log_in(username, password, peer)
        if self.authorization is self.authentication:
            return _principal(grant.username, [grant])
        other = await self.authorization.authorize(grant.username, password, peer)
        return _principal(grant.username, [other], (*grant.tags, *other.tags))


def _principal(
    username: str, grants: Sequence[Grant], tags: tuple[str, ...] | None = None
) -> Principal:
    ends = [grant.expires_at_s for grant in grants if grant.expires_at_s is not None]
    return Principal(
        username,
        tuple(dict.fromkeys(grants[0].tags if tags is None else tags)),
        tuple(grant.authority for grant in grants),
        min(ends, default=None),
    )


class Chain:
    """Logs in. A broker has one; without links it is the broker's own users."""

    def __init__(self, store: UserStore, links: Sequence[Link] = ()) -> None:
        internal = InternalBackend(store)
        self._store = store
        self._links = tuple(links) or (Link(internal, internal),)

    def usable(self, mechanisms: Sequence[str]) -> list[str]:
        """Return those of ``mechanisms`` that can lead anywhere: SCRAM needs stored keys."""
        is_stored = any(isinstance(link.authentication, InternalBackend) for link in self._links)
        return [name for name in mechanisms if is_stored or name not in SCRAM_MECHANISMS]

    async def log_in(self, claim: Claim, peer: Peer) -> Principal:
        """Return who it is.

        :raises AuthenticationFailed: nobody lets in, each for a reason of its own, or the user may
            come from this machine only (FEATURES A1.19).
        """
        password = claim.password if isinstance(claim, Credentials) else None
        reasons: list[str] = []
        for link in self._links:
            is_stored = isinstance(link.authentication, InternalBackend)
            if isinstance(claim, StoredIdentity) and not is_stored:
                continue
            try:
                principal = await link.log_in(claim.username, password, peer)
            except AuthenticationFailed as failure:
                reasons.append(failure.reason)
                continue
            if principal.username in self._store.loopback_users and not peer.is_loopback:
                name = principal.username
                raise AuthenticationFailed(name, f"user '{name}' can only connect via localhost")
            return principal
        raise AuthenticationFailed(claim.username, "; ".join(reasons))

    async def renew(self, principal: Principal, secret: bytes) -> Principal:
        """Return the principal with a new secret; where that matters to nobody it is the same.

        Tags come from those to whom it matters (as RabbitMQ has it).

        :raises AuthenticationFailed: the secret is no good.
        """
        renewed = [await authority.renew(secret) for authority in principal.authorities]
        grants = [grant for grant in renewed if grant is not None]
        if not grants:
            return principal
        kept = zip(renewed, principal.authorities, strict=True)
        new = _principal(principal.username, grants)
        return replace(
            new,
            tags=tuple(dict.fromkeys(tag for grant in grants for tag in grant.tags)),
            authorities=tuple(old if grant is None else grant.authority for grant, old in kept),
        )
