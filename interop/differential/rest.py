"""Waiting until a broker has come to rest after a step, in a way that RabbitMQ makes exact.

RabbitMQ's channels and queues are processes that send each other messages, so the answer to a
method says nothing about what it set off elsewhere. One round is: a channel.flow on every open
channel (its answer comes after all that the channel had to send), then a passive declare of
every queue (answered by the queue's process). The broker is at rest when rounds change nothing:
no frame arrived, no count moved, and every message published in confirm mode is confirmed.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from interop.differential.client import NoAnswer
from interop.differential.probe import GONE, Prober
from interop.differential.session import PROBE_CHANNEL_MAX, PROBE_CHANNEL_MIN, Peer, Session

if TYPE_CHECKING:
    from interop.differential.program import Step

CONFIRM_PATIENCE_S: Final = 2.0
"""Persistent messages are confirmed after a disk write; a confirm that is later is missing."""
QUIET_AFTER_LOSS_S: Final = 0.02
"""A queue learns asynchronously that a channel with unsettled messages is gone."""
PAUSE_S: Final = 0.0005


def settle_down(session: Session, prober: Prober, step: Step) -> dict[str, str]:
    """Wait for rest and return the state of all queues and exchanges; raises NoAnswer."""
    started = time.monotonic()
    quiet_s = QUIET_AFTER_LOSS_S if _loses_deliveries(session, step) else 0.0
    rest_s = step.rest_ms / 1000
    absent: set[str] = set()
    state: dict[str, str] = {}
    last: object = None
    while True:
        _sync(session)
        _await_confirms(session)
        session.notice_server_names()
        state.update(prober.look(session, absent))
        absent.update(key.split(" ", 1)[1] for key, answer in state.items() if answer == GONE)
        _sync(session)
        now = (state.copy(), sum(len(peer.received) for peer in session.peers.values()))
        if now == last and rest_s:
            time.sleep(rest_s)
            rest_s = 0.0
        elif now == last and time.monotonic() - started >= quiet_s:
            break
        elif now == last:
            time.sleep(min(0.002, quiet_s))
        last = now
        time.sleep(PAUSE_S)
    session.queues -= absent
    session.exchanges -= absent
    return state


def _loses_deliveries(session: Session, step: Step) -> bool:
    """Whether the step ended a channel or connection (requeues follow on their own time)."""
    if any(op.name in ("drop", "connect", "connection.close", "channel.close") for op in step.ops):
        return True
    endings = ("channel.close", "connection.close")
    peers = session.peers.values()
    return any(received.name in endings for peer in peers for _, received in peer.received)


def _sync(session: Session) -> None:
    syncing: list[tuple[Peer, int]] = []
    for _, peer in session.live_peers():
        numbers = _sync_channels(peer)
        for number in numbers:
            if not peer.channel(number).awaited:
                peer.sync(number)
        syncing += [(peer, number) for number in numbers]
    for peer, number in syncing:
        deadline = peer.wire.deadline()
        while peer.is_due(number) or peer.is_due(0):
            peer.read(deadline)


def _sync_channels(peer: Peer) -> list[int]:
    """Return the program's open channels, or one of our own if it has none."""
    numbers = [
        number
        for number, channel in peer.channels.items()
        if number and not PROBE_CHANNEL_MIN <= number <= PROBE_CHANNEL_MAX
        if channel.is_open or channel.awaited or channel.syncs_sent
    ]
    if numbers:
        return numbers
    channel = peer.channel(PROBE_CHANNEL_MAX)
    if not channel.is_open:
        peer.wire.send_method(PROBE_CHANNEL_MAX, "channel.open")
        channel.awaited.append("channel.open-ok")
    return [PROBE_CHANNEL_MAX]


def _await_confirms(session: Session) -> None:
    deadline = time.monotonic() + CONFIRM_PATIENCE_S
    for _, peer in session.live_peers():
        for channel in list(peer.channels.values()):
            while channel.unconfirmed_count and channel.is_open and peer.wire.is_open:
                try:
                    peer.read(deadline)
                except NoAnswer:
                    return
