"""Class connection: the handshake, closing (FEATURES A1)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from amqpbroker.auth.exceptions import AuthenticationFailed
from amqpbroker.auth.login_threads import run_in_login_thread
from amqpbroker.auth.permissions import check_vhost
from amqpbroker.auth.sasl.authenticator import Authenticator
from amqpbroker.auth.sasl.mechanism import Challenge, Work
from amqpbroker.broker.handlers.credentials import update_secret, watch
from amqpbroker.broker.quotas import check_new_connection, enter_vhost
from amqpbroker.errors import not_allowed
from amqpbroker.wire.connection import State
from amqpbroker.wire.constants import FRAME_SIZE_MIN
from amqpbroker.wire.events import ProtocolHeader
from amqpbroker.wire.methods import (
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionOpen,
    ConnectionOpenOk,
    ConnectionSecure,
    ConnectionSecureOk,
    ConnectionStart,
    ConnectionStartOk,
    ConnectionTune,
    ConnectionTuneOk,
    ConnectionUpdateSecret,
)
from amqpbroker.wire.table import Field, Table

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from amqpbroker.auth.backends.chain import Claim
    from amqpbroker.auth.sasl.mechanism import Step
    from amqpbroker.broker.session import Session

logger = logging.getLogger("amqpbroker.connection")

CAPABILITIES: Final = (
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
)
"""What clients look for before they use it (FEATURES A1.3, T7)."""


def server_properties(session: Session) -> Table:
    """Return what connection.start says of this broker (FEATURES A1.2, A1.4)."""
    config = session.broker.config
    texts = {
        "product": config.product,
        "version": config.version,
        "platform": "Python",
        "copyright": "The amqpbroker authors",
        "information": "amqpbroker, licensed under Apache-2.0",
        "cluster_name": config.cluster_name,
    }
    properties: Table = {name: Field("S", text.encode()) for name, text in texts.items()}
    flags = {name: Field("t", True) for name in CAPABILITIES}
    properties["capabilities"] = Field("F", flags)
    return properties


def start(session: Session, _event: ProtocolHeader) -> None:
    """Offer mechanisms and tell who we are."""
    broker = session.broker
    mechanisms = broker.logins.usable(broker.config.auth_mechanisms)
    authenticator = Authenticator(broker.users, session.peer, mechanisms, broker.sasl)
    session.authenticator = authenticator
    offered = " ".join(authenticator.mechanism_names).encode()
    session.send(0, ConnectionStart(0, 9, server_properties(session), offered, b"en_US"))


def start_ok(session: Session, event: ConnectionStartOk) -> Awaitable[None] | None:
    """Take the client's properties and its first SASL response."""
    session.client_properties = event.client_properties
    capabilities = event.client_properties.get("capabilities")
    if capabilities is not None and capabilities.kind == "F":
        session.capabilities = frozenset(
            name for name, field in capabilities.value.items() if field == ("t", True)
        )
    session.mechanism = event.mechanism
    authenticator = session.authenticator
    assert authenticator is not None
    return _take(session, authenticator.start, event.mechanism, event.response)


def secure_ok(session: Session, event: ConnectionSecureOk) -> Awaitable[None] | None:
    """Take the answer to a challenge (FEATURES A1.6)."""
    authenticator = session.authenticator
    assert authenticator is not None
    return _take(session, authenticator.respond, event.response)


def _take(session: Session, step: Callable[..., Step], *arguments: Any) -> Awaitable[None] | None:
    try:
        outcome = step(*arguments)
    except AuthenticationFailed as error:
        _refuse(session, error)
        return None
    return _go_on(session, outcome)


def _go_on(session: Session, outcome: Step) -> Awaitable[None] | None:
    """Do what follows from a step: ask the client, have a thread work on it, or decide."""
    if isinstance(outcome, Challenge):
        session.send(0, ConnectionSecure(outcome.data))
        return None
    return _work(session, outcome) if isinstance(outcome, Work) else _log_in(session, outcome)


async def _work(session: Session, work: Work) -> None:
    try:
        outcome = await run_in_login_thread(work.run)
    except AuthenticationFailed as error:
        _refuse(session, error)
        return
    pending = _go_on(session, outcome)
    if pending is not None:
        await pending


async def _log_in(session: Session, claim: Claim) -> None:
    """Have the backends decide on who somebody claims to be."""
    broker = session.broker
    try:
        principal = await broker.logins.log_in(claim, session.peer)
    except AuthenticationFailed as error:
        _refuse(session, error)
        return
    session.principal = principal
    config = broker.config
    session.send(0, ConnectionTune(config.channel_max, config.frame_max, config.heartbeat_s))


def _refuse(session: Session, error: AuthenticationFailed) -> None:
    """Close with 403 if the client understands it, else without a word (FEATURES A1.7).

    A client that is told may go at once; any other is left waiting before it is hung up on, so that
    guessing takes time. That is what RabbitMQ 3.10.8 does (tried).
    """
    logger.warning("%s: login refused, %s", session.name, error)
    if "authentication_failure_close" in session.capabilities:
        text = (
            "ACCESS_REFUSED - Login was refused using authentication mechanism "
            f"{session.mechanism}. For details see the broker logfile."
        )
        session.send(0, ConnectionClose(403, text))
    else:
        session.wire.state = State.CLOSED  # what still comes is dropped
    session.finish_later(session.broker.config.login_failure_delay_s)


def tune_ok(session: Session, event: ConnectionTuneOk) -> None:
    """Take the client's limits (FEATURES A1.9).

    Raises :class:`~amqpbroker.errors.HardError` 530 for limits that are none, or too small.
    """
    config = session.broker.config
    _check_negotiated("frame_max", event.frame_max, FRAME_SIZE_MIN, config.frame_max)
    _check_negotiated("channel_max", event.channel_max, 1, config.channel_max)
    session.wire.channel_count_max = event.channel_max
    session.wire.frame_size_max = event.frame_max
    session.heartbeat_s = event.heartbeat


def _check_negotiated(name: str, value: int, low: int, high: int) -> None:
    if value != 0 and value < low:
        detail, bound, limit = "", "lower than the minimum", low
    elif value == 0 or value > high:
        detail = " (no limit)" if value == 0 and name == "channel_max" else ""
        bound, limit = "higher than the maximum", high
    else:
        return
    raise not_allowed(f"negotiated {name} = {value}{detail} is {bound} allowed value ({limit})")


def open_vhost(session: Session, event: ConnectionOpen) -> None:
    """Enter a vhost (FEATURES A1.12).

    Raises :class:`~amqpbroker.errors.HardError` 530.
    """
    broker = session.broker
    name = event.virtual_host
    vhost = broker.vhosts.get(name)
    assert session.principal is not None
    check_vhost(session.principal, name, exists=vhost is not None)
    assert vhost is not None
    check_new_connection(session, session.principal.username, vhost)
    enter_vhost(session, vhost)
    watch(session)
    session.send(0, ConnectionOpenOk())
    logger.info("%s: user '%s' opened vhost '%s'", session.name, session.principal.username, name)


def close(session: Session, _event: ConnectionClose) -> None:
    """Clean up, then confirm; the client hangs up, as with RabbitMQ (FEATURES A1.13, T15)."""
    session.close()
    session.send(0, ConnectionCloseOk())


def close_ok(session: Session, _event: ConnectionCloseOk) -> None:
    """The client knows that it was closed: hang up."""
    session.finish()


HANDLERS: Final[dict[type, Any]] = {
    ProtocolHeader: start,
    ConnectionStartOk: start_ok,
    ConnectionSecureOk: secure_ok,
    ConnectionTuneOk: tune_ok,
    ConnectionOpen: open_vhost,
    ConnectionClose: close,
    ConnectionCloseOk: close_ok,
    ConnectionUpdateSecret: update_secret,
}
