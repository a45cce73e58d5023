"""What the user of one session was found to be allowed, so that nothing is asked per message.

The session is handed in each time: were it kept, each connection would leave a reference cycle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from amqpbroker.auth import permissions

if TYPE_CHECKING:
    from amqpbroker.broker.session import Session

PERMIT_COUNT_MAX: Final = 256


class Permits:
    """Remembers what is allowed until permissions change; a refusal closes the channel anyway."""

    __slots__ = ("_allowed", "_allowed_at")

    def __init__(self) -> None:
        self._allowed: set[tuple[str, str, str]] = set()
        self._allowed_at = -1

    def check(
        self,
        session: Session,
        kind: permissions.Kind,
        name: str,
        permission: permissions.Permission,
    ) -> None:
        """Check what the user may do with a queue or an exchange.

        Raises :class:`~amqpbroker.errors.SoftError` 403, and
        :class:`~amqpbroker.auth.backends.backend.Unanswered`.
        """
        generation = session.broker.users.generation
        if self._allowed_at != generation or len(self._allowed) > PERMIT_COUNT_MAX:
            self._allowed.clear()
            self._allowed_at = generation
        key = (kind, name, permission)
        if key in self._allowed:
            return
        assert session.principal is not None
        assert session.vhost is not None
        permissions.check_resource(
            session.principal, session.vhost.name, kind, name, permission=permission
        )
        self._allowed.add(key)

    def check_topic(
        self,
        session: Session,
        exchange: str,
        routing_key: str,
        permission: permissions.TopicPermission,
    ) -> None:
        """Check a routing key of a topic exchange; raises as ``check``."""
        assert session.principal is not None
        assert session.vhost is not None
        permissions.check_topic(
            session.principal, session.vhost.name, exchange, routing_key, permission=permission
        )

    def forget(self) -> None:
        """Ask everything again."""
        self._allowed.clear()
