"""How much a vhost or a user may have at the same time (FEATURES A8.11, A15.10).

A limit that is missing or negative is none. https://www.rabbitmq.com/docs/vhosts#limits,
https://www.rabbitmq.com/docs/user-limits
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from amqpbroker.errors import not_allowed, precondition_failed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amqpbroker.auth.users import UserStore
    from amqpbroker.broker.channel import Channel
    from amqpbroker.broker.session import Session
    from amqpbroker.broker.vhost import VHost

MAX_CONNECTIONS: Final = "max-connections"
MAX_QUEUES: Final = "max-queues"
MAX_CHANNELS: Final = "max-channels"
MAX_PUBLISH_RATE: Final = "max-publish-rate"
MAX_PUBLISH_BYTES_RATE: Final = "max-publish-bytes-rate"
RATE_LIMITS: Final = (MAX_PUBLISH_RATE, MAX_PUBLISH_BYTES_RATE)
"""Messages and bytes a second, see ``rates``; RabbitMQ refuses definitions that have them."""
COUNT_LIMITS: Final = (MAX_CONNECTIONS, MAX_QUEUES, MAX_CHANNELS)
"""What RabbitMQ has."""
VHOST_LIMITS: Final = (MAX_CONNECTIONS, MAX_QUEUES, *RATE_LIMITS)
USER_LIMITS: Final = (MAX_CONNECTIONS, MAX_CHANNELS, *RATE_LIMITS)


class Counts:
    """What is open on the node, kept up to date so that nobody has to count it."""

    def __init__(self) -> None:
        self.connections_of_vhost: Counter[str] = Counter()
        self.connections_of_user: Counter[str] = Counter()
        self.channels_of_user: Counter[str] = Counter()
        self.channel_count = 0

    def add_connection(self, vhost: str, username: str, count: int = 1) -> None:
        """Count a connection that has entered a vhost; ``count`` -1 for one that leaves."""
        _add(self.connections_of_vhost, vhost, count)
        _add(self.connections_of_user, username, count)

    def add_channels(self, username: str, count: int) -> None:
        """Count channels that were opened, or if negative closed."""
        self.channel_count += count
        _add(self.channels_of_user, username, count)


def _add(counter: Counter[str], name: str, count: int) -> None:
    counter[name] += count
    if not counter[name]:
        del counter[name]


def enter_vhost(session: Session, vhost: VHost) -> None:
    """Make a session one of the connections of a vhost."""
    assert session.principal is not None
    session.vhost = vhost
    session.counted_as = session.principal.username
    session.broker.counts.add_connection(vhost.name, session.counted_as)


def leave_vhost(session: Session) -> None:
    """Count a session and its channels no longer; a second time does nothing."""
    username, session.counted_as = session.counted_as, None
    if username is None:
        return
    assert session.vhost is not None
    counts = session.broker.counts
    counts.add_connection(session.vhost.name, username, -1)
    counts.add_channels(username, -len(session.channels))
    session.channels = {}


def add_channel(session: Session, channel: Channel) -> None:
    """Give a session a channel."""
    assert session.counted_as is not None
    session.channels[channel.number] = channel
    session.broker.counts.add_channels(session.counted_as, 1)


def remove_channel(session: Session, number: int) -> Channel | None:
    """Take a channel from a session and return it; None if it has none of this number."""
    channel = session.channels.pop(number, None)
    if channel is not None:
        assert session.counted_as is not None
        session.broker.counts.add_channels(session.counted_as, -1)
    return channel


def _is_reached(limits: Mapping[str, int], name: str, count: int) -> bool:
    return 0 <= limits.get(name, -1) <= count


def check_new_queue(vhost: VHost, name: str) -> None:
    """Refuse a queue more than the vhost may have.

    Raises :class:`~amqpbroker.errors.SoftError` 406.
    """
    if _is_reached(vhost.limits, MAX_QUEUES, len(vhost.queues)):
        limit = vhost.limits[MAX_QUEUES]
        raise precondition_failed(
            f"cannot declare queue '{name}': queue limit in vhost '{vhost.name}' ({limit})"
            " is reached"
        )


def check_new_connection(session: Session, username: str, vhost: VHost) -> None:
    """Refuse a connection more than the vhost or the user may have.

    Raises :class:`~amqpbroker.errors.HardError` 530.
    """
    counts = session.broker.counts
    if _is_reached(vhost.limits, MAX_CONNECTIONS, counts.connections_of_vhost[vhost.name]):
        raise not_allowed(
            f"access to vhost '{vhost.name}' refused for user '{username}': "
            f"connection limit ({vhost.limits[MAX_CONNECTIONS]}) is reached"
        )
    limits = limits_of_user(session.broker.users, username)
    if _is_reached(limits, MAX_CONNECTIONS, counts.connections_of_user[username]):
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
    if count_max is not None and broker.counts.channel_count >= count_max:
        raise not_allowed(
            f"number of channels opened on node '{broker.config.cluster_name}' has reached "
            f"the maximum allowed limit of ({count_max})"
        )
    username = session.principal.username
    limits = limits_of_user(broker.users, username)
    if _is_reached(limits, MAX_CHANNELS, broker.counts.channels_of_user[username]):
        raise not_allowed(
            f"number of channels opened for user '{username}' has reached "
            f"the maximum allowed user limit of ({limits[MAX_CHANNELS]})"
        )


def divided(limits: Mapping[str, int]) -> tuple[dict[str, int], dict[str, int]]:
    """Return the limits that RabbitMQ knows, and the rates."""
    rates = {name: limits[name] for name in RATE_LIMITS if name in limits}
    return {name: limit for name, limit in limits.items() if name not in rates}, rates


def limits_of_user(users: UserStore, username: str) -> Mapping[str, int]:
    """Return the limits of a user; none if the user was deleted meanwhile."""
    user = users.users.get(username)
    return user.limits if user is not None else {}
