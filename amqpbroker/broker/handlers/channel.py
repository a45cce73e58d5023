"""Classes channel, access, confirm and tx (FEATURES A2, A5.12, A7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from amqpbroker.broker.channel import Channel
from amqpbroker.broker.confirms import Confirms
from amqpbroker.broker.quotas import add_channel, check_new_channel, remove_channel
from amqpbroker.broker.transaction import Transaction
from amqpbroker.errors import internal_error, not_implemented, precondition_failed
from amqpbroker.storage.log import LogError
from amqpbroker.wire.methods import (
    AccessRequest,
    AccessRequestOk,
    ChannelClose,
    ChannelCloseOk,
    ChannelFlow,
    ChannelFlowOk,
    ChannelOpenOk,
    ConfirmSelect,
    ConfirmSelectOk,
    TxCommit,
    TxCommitOk,
    TxRollback,
    TxRollbackOk,
    TxSelect,
    TxSelectOk,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from amqpbroker.broker.session import Session


def open_channel(session: Session, number: int) -> None:
    """Open a channel; that the number is free was checked by the wire.

    Raises :class:`~amqpbroker.errors.HardError` 530 beyond the user's limit.
    """
    assert session.vhost is not None
    check_new_channel(session)
    add_channel(session, Channel(session, session.vhost, number))
    session.send(number, ChannelOpenOk())


def close(channel: Channel, _event: ChannelClose) -> None:
    """Requeue what is unsettled, then confirm: the number is free at once (FEATURES A2.2)."""
    remove_channel(channel.session, channel.number)
    channel.close()
    channel.session.send(channel.number, ChannelCloseOk())


def flow(channel: Channel, event: ChannelFlow) -> None:
    """Answer active=true; pausing is not supported, as on RabbitMQ (FEATURES A2.5).

    Raises :class:`~amqpbroker.errors.HardError` 540.
    """
    if not event.active:
        raise not_implemented("active=false")
    channel.session.send(channel.number, ChannelFlowOk(True))


def access_request(channel: Channel, _event: AccessRequest) -> None:
    """Hand out ticket 1, which nobody looks at (FEATURES A2.6)."""
    channel.session.send(channel.number, AccessRequestOk())


def confirm_select(channel: Channel, event: ConfirmSelect) -> None:
    """Confirm publishes from now on.

    Raises :class:`~amqpbroker.errors.SoftError` 406 on a transactional channel.
    """
    if channel.transaction is not None:
        raise precondition_failed("cannot switch from tx to confirm mode")
    if channel.confirms is None:
        channel.confirms = Confirms(channel)
    if not event.nowait:
        channel.session.send(channel.number, ConfirmSelectOk())


def tx_select(channel: Channel, _event: TxSelect) -> None:
    """Make the channel transactional.

    Raises :class:`~amqpbroker.errors.SoftError` 406 on a confirm channel.
    """
    if channel.confirms is not None:
        raise precondition_failed("cannot switch from confirm to tx mode")
    if channel.transaction is None:
        channel.transaction = Transaction(channel)
    channel.session.send(channel.number, TxSelectOk())


def _transaction(channel: Channel) -> Transaction:
    if channel.transaction is None:
        raise precondition_failed("channel is not transactional")
    return channel.transaction


def tx_commit(channel: Channel, _event: TxCommit) -> Awaitable[None] | None:
    """Apply the transaction; all of it reaches the disk in one batch, or nothing (A7.4).

    Raises :class:`~amqpbroker.errors.AmqpError`: 406 if there is none, 541 if it cannot be written;
    then it is unknown whether it has been.
    """
    is_kept = _transaction(channel).commit()
    if is_kept:
        return _committed(channel)
    channel.session.send(channel.number, TxCommitOk())
    return None


async def _committed(channel: Channel) -> None:
    journal = channel.session.broker.journal
    assert journal is not None
    ticket = journal.ticket
    channel.session.broker.flush()
    try:
        await journal.wait(ticket)
    except LogError as error:
        raise internal_error(f"not stored: {error}") from error
    if channel.session.channels.get(channel.number) is channel:
        channel.session.send(channel.number, TxCommitOk())


def tx_rollback(channel: Channel, _event: TxRollback) -> None:
    """Forget the transaction.

    Raises :class:`~amqpbroker.errors.SoftError` 406 if there is none.
    """
    _transaction(channel).rollback()
    channel.session.send(channel.number, TxRollbackOk())


HANDLERS: Final[dict[type, Any]] = {
    AccessRequest: access_request,
    ChannelClose: close,
    ChannelFlow: flow,
    ConfirmSelect: confirm_select,
    TxSelect: tx_select,
    TxCommit: tx_commit,
    TxRollback: tx_rollback,
}
