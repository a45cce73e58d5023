"""Credentials that come to an end: connections are closed, or go on with new ones (A1.14, A15.6).

Most never do; then nothing here costs a session more than a look when it opens its vhost.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from amqpbroker.auth.backends.backend import answered
from amqpbroker.auth.exceptions import AuthenticationFailed
from amqpbroker.auth.permissions import check_vhost
from amqpbroker.broker.handlers import basic
from amqpbroker.broker.router import RouteMemo
from amqpbroker.errors import SoftError, not_allowed
from amqpbroker.wire.connection import State
from amqpbroker.wire.methods import BasicCancel, ConnectionUpdateSecretOk

if TYPE_CHECKING:
    from amqpbroker.auth.principal import Principal
    from amqpbroker.broker.channel import Channel
    from amqpbroker.broker.consumer import Consumer
    from amqpbroker.broker.session import Session
    from amqpbroker.wire.methods import ConnectionUpdateSecret

logger = logging.getLogger("amqpbroker.connection")


def watch(session: Session) -> None:
    """Have the connection closed when its credentials end, and permissions asked again in time."""
    principal, timers = session.principal, session.broker.timers
    assert principal is not None
    while session.credential_timers:
        session.credential_timers.pop().cancel()
    if principal.expires_at_s is not None:
        delay_s = max(0.0, principal.expires_at_s - timers.wall_ms() / 1000)
        session.credential_timers.append(timers.call_later(delay_s, partial(_expire, session)))
    if principal.is_remote:
        delay_s = session.broker.config.auth_cache_ttl_s
        session.credential_timers.append(timers.call_later(delay_s, partial(_ask_again, session)))


def _ask_again(session: Session) -> None:
    forget_permissions(session)
    watch(session)


def forget_permissions(session: Session) -> None:
    """Let the next publish, too, ask what the user may do."""
    session.permits.forget()
    session.routes = RouteMemo()


def _expire(session: Session) -> None:
    assert session.principal is not None
    logger.warning(
        "%s: credential of user '%s' has expired", session.name, session.principal.username
    )
    session.force_close("credential expired")


async def update_secret(session: Session, event: ConnectionUpdateSecret) -> None:
    """Go on with a new secret, if the backends want one; passwords are checked at login only.

    Raises :class:`~amqpbroker.errors.HardError` 530: it is refused, or not for this vhost.
    """
    old = session.principal
    assert old is not None
    try:
        principal = await session.broker.logins.renew(old, event.new_secret)
    except AuthenticationFailed as failure:
        logger.error(
            "%s: new secret refused for user '%s', %s", session.name, old.username, failure
        )
        raise not_allowed("New secret was refused by one of the backends") from None
    if principal is not old:
        await _go_on_as(session, principal)
    if session.wire.state is State.RUNNING:
        session.send(0, ConnectionUpdateSecretOk())


async def _go_on_as(session: Session, principal: Principal) -> None:
    """Put the new principal in force: for the vhost, for publishes, for consumers."""
    assert session.vhost is not None
    vhost = session.vhost.name
    await answered(partial(check_vhost, principal, vhost, exists=True))
    session.principal = principal
    forget_permissions(session)
    watch(session)
    for channel in list(session.channels.values()):
        for consumer in list(channel.consumers.values()):
            await _check_consumer(channel, consumer)
    logger.info("%s: user '%s' has updated the secret", session.name, principal.username)


async def _check_consumer(channel: Channel, consumer: Consumer) -> None:
    """Cancel a consumer that may not read its queue any more, as RabbitMQ 4.3 does."""
    session = channel.session
    try:
        await answered(partial(session.check, "queue", consumer.queue.name, "read"))
    except SoftError as error:
        if channel.consumers.get(consumer.tag) is not consumer:
            return
        logger.warning("%s: consumer %s cancelled, %s", session.name, consumer.tag, error)
        basic.cancel(channel, BasicCancel(consumer.tag, True))
        session.cancelled_by_server(consumer)
