"""What a backend is: it logs somebody in, and hands out an authority that says what they may do.

A login may wait, for a thread or for a service. What a user may do is asked on the way of a
message, by plain calls. An authority that has to ask elsewhere raises :class:`Unanswered` instead
of an answer; whoever can wait (the session, the management API) has it asked and begins again.
Sessions remember what is allowed, so a publish that repeats asks nobody (FEATURES A15.12).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from amqpbroker.auth.permissions import Kind, Permission, TopicPermission
    from amqpbroker.auth.sasl.mechanism import Peer

T = TypeVar("T")

QUESTION_COUNT_MAX = 4096
"""Questions for one method of a client, which may name as many routing keys (CC)."""


class Unanswered(Exception):
    """Nobody here knows: ``ask`` finds out, then the same question has an answer for a while."""

    def __init__(self, ask: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self.ask = ask


class BackendFailed(Exception):
    """A backend can say neither yes nor no, so it is no; the text names backend and reason."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"backend {name} returned an error: {reason}")
        self.reason = reason


class Authority(Protocol):
    """What one user who has logged in may do, as far as one backend is concerned.

    The three questions raise :class:`Unanswered` and :class:`BackendFailed`.
    """

    is_remote: bool
    """Whether it may have to ask elsewhere."""

    def may_enter(self, vhost: str) -> bool:
        """Return whether the user may open a vhost; that there is one is the caller's business."""

    def may_use(self, vhost: str, kind: Kind, name: str, permission: Permission) -> bool:
        """Return whether the user has a permission on a queue or an exchange."""

    def may_use_topic(
        self,
        vhost: str,
        exchange: str,
        routing_key: str,
        permission: TopicPermission,
        variables: Mapping[str, str],
    ) -> bool:
        """Return whether the user may write to or read from a routing key."""

    async def renew(self, secret: bytes) -> Grant | None:
        """Take a new secret (connection.update-secret); None: it matters at login only.

        :raises AuthenticationFailed: the secret is no good.
        """


@dataclass(frozen=True, slots=True)
class Grant:
    """What a backend gives who has proven to be somebody.

    ``expires_at_s`` is the Unix time at which it ends.
    """

    username: str
    authority: Authority = field(repr=False)
    tags: tuple[str, ...] = ()
    expires_at_s: int | None = None


class Backend(Protocol):
    """A source of users."""

    name: str
    """As RabbitMQ names its module, for texts."""

    async def log_in(self, username: str, password: bytes | None, peer: Peer) -> Grant:
        """Return what somebody is granted; None is for who has proven the name by other means.

        :raises AuthenticationFailed: the login is refused, or nobody can tell.
        """

    async def authorize(self, username: str, password: bytes | None, peer: Peer) -> Grant:
        """Return the same for a user whom another backend has let in."""


async def answered(question: Callable[[], T]) -> T:
    """Return what ``question`` returns once all has been asked that it needs.

    :raises BackendFailed: it needs more than can be.
    """
    for _ in range(QUESTION_COUNT_MAX):
        try:
            return question()
        except Unanswered as unanswered:
            await unanswered.ask()
    raise BackendFailed("authorization", "too many questions")
