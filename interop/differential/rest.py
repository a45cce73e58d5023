"""Waiting until a broker has come to rest after a step, in a way that RabbitMQ makes exact.

RabbitMQ's channels and queues are processes that send each other messages, so the answer to a
method says nothing about what it set off elsewhere. One round is: a channel.flow on every open
channel (its answer comes after all that the channel had to send), then a passive declare of
every queue (answered by the queue's process). The broker is at rest when rounds change nothing:
no frame arrived, no count moved, and every message published in confirm mode is confirmed.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final

from interop.differential.client import NoAnswer
from interop.differential.probe import GONE, Prober
from interop.differential.session import PROBE_CHANNEL_MAX, PROBE_CHANNEL_MIN, Peer, Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from interop.differential.program import Step

CONFIRM_PATIENCE_S: Final = 2.0
"""Persistent messages are confirmed after a disk write; a confirm that is later is missing."""
QUIET_AFTER_LOSS_S: Final = 0.02
"""A queue learns asynchronously that a channel with unsettled messages is gone, and a quorum queue
writes what is returned to it once more."""
PAUSE_S: Final = 0.0005
ROUND_COUNT: Final = 3
ROUND_COUNT_STILL: Final = 2
"""How many rounds must be the same; fewer where a step moves no message."""
_QUORUM: Final = re.compile(r"qq\d$")
_STILL: Final = ("exchange.", "queue.declare", "queue.bind", "queue.unbind", "confirm.", "channel.")


def settle_down(session: Session, prober: Prober, step: Step) -> dict[str, str]:
    """Wait for rest and return the state of all queues and exchanges; raises NoAnswer."""
    absent: set[str] = set()
    state: dict[str, str] = {}

    def look() -> tuple[dict[str, str], int]:
        _sync(session)
        _await_confirms(session)
        session.notice_server_names()
        state.update(prober.look(session, absent))
        absent.update(key.split(" ", 1)[1] for key, answer in state.items() if answer == GONE)
        _sync(session)
        return state.copy(), sum(len(peer.received) for peer in session.peers.values())

    round_count = ROUND_COUNT_STILL if _moves_nothing(step) else ROUND_COUNT
    _repeat(look, round_count)
    if step.rest_ms:
        time.sleep(step.rest_ms / 1000)
        _repeat(look, round_count)
    if _loses_deliveries(session, step) or _returns_to_quorum_queue(session, step):
        time.sleep(QUIET_AFTER_LOSS_S)
        _repeat(look, round_count)
    session.queues -= absent
    session.exchanges -= absent
    return state


def _repeat(look: Callable[[], object], count: int) -> None:
    """Look until ``count`` looks in a row have shown the same."""
    last: object = None
    same = 0
    while same < count:
        now = look()
        same = same + 1 if now == last else 1
        last = now
        if same < count:
            time.sleep(PAUSE_S)


def _moves_nothing(step: Step) -> bool:
    return all(op.name.startswith(_STILL) for op in step.ops)


def _loses_deliveries(session: Session, step: Step) -> bool:
    """Whether the step ended a channel that had deliveries, or dropped a connection."""
    is_bereft = any(peer.is_bereft for peer in session.peers.values())
    for peer in session.peers.values():
        peer.is_bereft = False
    return is_bereft or any(op.name in ("drop", "connect") for op in step.ops)


def _returns_to_quorum_queue(session: Session, step: Step) -> bool:
    is_return = any(
        op.name.startswith("basic.recover") or (op.name == "settle" and op.args.get("requeue"))
        for op in step.ops
    )
    return is_return and any(_QUORUM.search(name) for name in session.queues)


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
