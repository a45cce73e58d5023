"""A web service that decides on users, RabbitMQ's ``http`` (FEATURES A15.7).

Four URLs are asked, by GET with a query or by POST with a form, with the parameters of RabbitMQ's
``rabbit_auth_backend_http``. The service answers 200 and a word::

    user_path        username, password                                 allow [tag ...] | deny
    vhost_path       username, vhost, ip, tags                          allow | deny
    resource_path    username, vhost, resource, name, permission, tags  allow | deny
    topic_path       the same, and routing_key, variable_map.*          allow | deny

Anything else, or nothing in time, is no answer: the client is refused, and the log says why. What
is sent is never in the log.
"""

from __future__ import annotations

import hmac
import logging
import secrets
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlencode

import anyio

from amqpbroker.auth.backends.backend import BackendFailed, Grant, Unanswered
from amqpbroker.auth.exceptions import AuthenticationFailed, HttpFailed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from amqpbroker.auth.backends.answer_cache import AnswerCache
    from amqpbroker.auth.permissions import Kind, Permission, TopicPermission
    from amqpbroker.auth.sasl.mechanism import Peer

    Ask = Callable[[str, str, str | None], Awaitable[tuple[int, bytes]]]
    """Method, URL and form → status and body; raises HttpFailed."""

logger = logging.getLogger("amqpbroker.auth_http")

NAME: Final = "rabbit_auth_backend_http"
SUCCESSES: Final = frozenset({200, 201})
REQUEST_COUNT_MAX: Final = 64
"""Requests at the same time; others wait."""

Parameters = tuple[tuple[str, str | bytes], ...]


class HttpPaths(NamedTuple):
    """The URLs."""

    user: str
    vhost: str
    resource: str
    topic: str


class HttpAuthority:
    """What the service says of one user from one address."""

    is_remote = True

    def __init__(
        self, backend: HttpBackend, username: str, tags: tuple[str, ...], address: str
    ) -> None:
        self._backend = backend
        self._username = username
        self._tags = ("tags", " ".join(tags))
        self._address = address

    def may_enter(self, vhost: str) -> bool:
        """Ask ``vhost_path``."""
        who = (("username", self._username), ("vhost", vhost))
        return self._backend.answer("vhost", (*who, ("ip", self._address), self._tags))

    def may_use(self, vhost: str, kind: Kind, name: str, permission: Permission) -> bool:
        """Ask ``resource_path``."""
        return self._backend.answer("resource", self._about(vhost, kind, name, permission))

    def may_use_topic(
        self,
        vhost: str,
        exchange: str,
        routing_key: str,
        permission: TopicPermission,
        variables: Mapping[str, str],
    ) -> bool:
        """Ask ``topic_path``."""
        values = {"username": self._username, "vhost": vhost, **variables}
        more = ((f"variable_map.{name}", value) for name, value in values.items())
        about = self._about(vhost, "topic", exchange, permission)
        return self._backend.answer("topic", (*about, ("routing_key", routing_key), *more))

    async def renew(self, secret: bytes) -> Grant | None:
        """Passwords are checked at login only."""
        return None

    def _about(self, vhost: str, resource: str, name: str, permission: str) -> Parameters:
        return (
            ("username", self._username),
            ("vhost", vhost),
            ("resource", resource),
            ("name", name),
            ("permission", permission),
            self._tags,
        )


class HttpBackend:
    """Asks the service and remembers what it permits."""

    name = NAME

    def __init__(
        self, paths: HttpPaths, ask: Ask, cache: AnswerCache, *, is_post: bool = False
    ) -> None:
        self._paths = paths
        self._ask = ask
        self._cache = cache
        self._is_post = is_post
        self._requests = anyio.Semaphore(REQUEST_COUNT_MAX)
        self._digest_key = secrets.token_bytes(32)
        """Passwords are not kept, not even in the cache."""

    async def log_in(self, username: str, password: bytes | None, peer: Peer) -> Grant:
        """Ask ``user_path``; without a password the service hears the name alone."""
        key = ("user", username, self._digest(password))
        tags = self._cache.get(key, is_kept=lambda _tags: True)
        if tags is None:
            tags = await self._tags_of(username, password)
            self._cache.put(key, tags)
        return Grant(username, HttpAuthority(self, username, tags, peer.address), tags)

    async def authorize(self, username: str, password: bytes | None, peer: Peer) -> Grant:
        """Ask about a user whom another backend has let in; no tags, as on RabbitMQ."""
        grant = await self.log_in(username, password, peer)
        return Grant(username, grant.authority)

    async def _tags_of(self, username: str, password: bytes | None) -> tuple[str, ...]:
        parameters: list[tuple[str, str | bytes]] = [("username", username)]
        if password is not None:
            parameters.append(("password", password))
        try:
            answer = await self._fetch("user", parameters)
        except HttpFailed as failure:
            raise AuthenticationFailed(
                username, f"{NAME} failed authenticating {username}: {failure}"
            ) from None
        word, *tags = answer.split() or [""]
        if word == "allow":
            return tuple(tags)
        if word == "deny":
            raise AuthenticationFailed(username, "Denied by the backing HTTP service")
        raise AuthenticationFailed(username, f"{NAME} failed authenticating {username}: {_BAD}")

    def answer(self, path: str, parameters: Parameters) -> bool:
        """Return what the service has said.

        :raises Unanswered: it has not been asked, or not lately.
        :raises BackendFailed: it has not said yes or no.
        """
        question = (path, parameters)
        answer = self._cache.get(question, is_kept=lambda known: known is True)
        if answer is None:
            raise Unanswered(partial(self._find_out, path, parameters))
        if isinstance(answer, HttpFailed):
            raise BackendFailed(NAME, str(answer))
        return answer is True

    async def _find_out(self, path: str, parameters: Parameters) -> None:
        answer: object
        try:
            word = (await self._fetch(path, parameters)).partition(" ")[0]
            answer = {"allow": True, "deny": False}.get(word, HttpFailed(_BAD))
        except HttpFailed as failure:
            answer = failure
        self._cache.put((path, parameters), answer)

    async def _fetch(
        self, path: str, parameters: Parameters | list[tuple[str, str | bytes]]
    ) -> str:
        """Return the answer in lower case.

        :raises HttpFailed: it is none, which is in the log by now.
        """
        url: str = getattr(self._paths, path)
        form = urlencode(parameters, encoding="utf-8", errors="surrogateescape")
        try:
            async with self._requests:
                if self._is_post:
                    status, body = await self._ask("POST", url, form)
                else:
                    mark = "&" if "?" in url else "?"
                    status, body = await self._ask("GET", f"{url}{mark}{form}", None)
            if status not in SUCCESSES:
                raise HttpFailed(f"the answer is {status}")
        except HttpFailed as failure:
            logger.error("%s: %s", url, failure)
            raise
        return body.decode("utf-8", "replace").strip().lower()

    def _digest(self, password: bytes | None) -> bytes | None:
        return None if password is None else hmac.digest(self._digest_key, password, "sha256")


_BAD: Final = "the answer is neither allow nor deny"
