"""How much a vhost or a user may have at the same time (FEATURES A8.11, A15.10).

A limit that is missing or negative is none. https://www.rabbitmq.com/docs/vhosts#limits,
https://www.rabbitmq.com/docs/user-limits
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from amqpbroker.errors import not_allowed, precondition_failed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from amqpbroker.broker.session import Session
    from amqpbroker.broker.vhost import VHost

MAX_CONNECTIONS: Final = "max-connections"
MAX_QUEUES: Final = "max-queues"
MAX_CHANNELS: Final = "max-channels"
VHOST_LIMITS: Final = (MAX_CONNECTIONS, MAX_QUEUES)
USER_LIMITS: Final = (MAX_CONNECTIONS, MAX_CHANNELS)


def _is_reached(limits: Mapping[str, int], name: str, count: Callable[[], int]) -> bool:
    """Count only for a limit that is set: looking at all connections takes long."""
    limit = limits.get(name, -1)
    return limit >= 0 and limit <= count()


def check_new_queue(vhost: VHost, name: str) -> None:
    """Refuse a queue more than the vhost may have.

    Raises :class:`~amqpbroker.errors.SoftError` 406.
    """
    if _is_reached(vhost.limits, MAX_QUEUES, lambda: len(vhost.queues)):
        limit = vhost.limits[MAX_QUEUES]
        raise precondition_failed(
            f"cannot declare queue '{name}': queue limit in vhost '{vhost.name}' ({limit})"
            " is reached"
        )


def check_new_connection(session: Session, username: str, vhost: VHost) -> None:
    """Refuse a connection more than the vhost or the user may have.

    Raises :class:`~amqpbroker.errors.HardError` 530.
    """
    sessions = session.broker.sessions

    def count_of_vhost() -> int:
        return sum(other.vhost is vhost for other in sessions if other is not session)

    def count_of_user() -> int:
        return sum(
            _is_of(other, username)
            for other in sessions
            if other is not session and other.vhost is not None
        )

    if _is_reached(vhost.limits, MAX_CONNECTIONS, count_of_vhost):
        raise not_allowed(
            f"access to vhost '{vhost.name}' refused for user '{username}': "
            f"connection limit ({vhost.limits[MAX_CONNECTIONS]}) is reached"
        )
    limits = _limits_of(session, username)
    if _is_reached(limits, MAX_CONNECTIONS, count_of_user):
        raise not_allowed(
            f"connection refused for user '{username}': "
            f"user connection limit ({limits[MAX_CONNECTIONS]}) is reached"
        )


def check_new_channel(session: Session) -> None:
    """Refuse a channel more than the node or the user may have, over all connections.

    Raises :class:`~amqpbroker.errors.HardError` 530.
    """
    assert session.principal is not None
    broker = session.broker
    count_max = broker.config.channel_max_per_node

    def count(of: Callable[[Session], bool]) -> int:
        return sum(len(other.channels) for other in {*broker.sessions, session} if of(other))

    if count_max is not None and count(lambda _: True) >= count_max:
        raise not_allowed(
            f"number of channels opened on node '{broker.config.cluster_name}' has reached "
            f"the maximum allowed limit of ({count_max})"
        )
    username = session.principal.username
    limits = _limits_of(session, username)
    if _is_reached(limits, MAX_CHANNELS, lambda: count(lambda other: _is_of(other, username))):
        raise not_allowed(
            f"number of channels opened for user '{username}' has reached "
            f"the maximum allowed user limit of ({limits[MAX_CHANNELS]})"
        )


def _limits_of(session: Session, username: str) -> Mapping[str, int]:
    user = session.broker.users.users.get(username)
    return user.limits if user is not None else {}


def _is_of(session: Session, username: str) -> bool:
    return session.principal is not None and session.principal.username == username
