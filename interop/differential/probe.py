"""Looking at queues and exchanges from outside, by passive declares, many in one round trip.

A queue's answer comes from the queue's own process on RabbitMQ, so it also proves that what that
queue was sent before has been taken in (nearly: passive declares overtake there, which is why
``rest.py`` asks until nothing changes). Exclusive queues are asked for on their own connection.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from interop.differential.client import Endpoint, NoAnswer, Received, Tuning
from interop.differential.session import PROBE_CHANNEL_MIN, Peer, Session

GONE = "gone"
LOCKED = "locked"


@dataclass
class Prober:
    """A control connection that outlives programs, and one channel on it for each name."""

    endpoint: Endpoint
    control: Peer | None = None
    numbers: dict[str, int] = field(default_factory=dict)

    def peer(self) -> Peer:
        """Return the live control connection; raises NoAnswer, OSError."""
        if self.control is None or not self.control.wire.is_open:
            self.control = Peer(self.endpoint, Tuning())
        return self.control

    def forget_names(self) -> None:
        """Start the next program's names at the first channel again."""
        self.numbers.clear()

    def look(self, session: Session, absent: set[str]) -> dict[str, str]:
        """Return the state of each name made so far, but for those already known as absent."""
        queues = sorted(session.queues - absent)
        exchanges = sorted(session.exchanges - absent)
        control = self.peer()
        asked = [(f"exchange {name}", control) for name in exchanges]
        asked += [(f"queue {name}", self._asker(session, name)) for name in queues]
        state = self._ask(asked)
        for key, answer in list(state.items()):
            if answer == LOCKED:
                state[key] = self._find_owner(session, key)
        return state

    def _asker(self, session: Session, name: str) -> Peer:
        owner = session.exclusive.get(name)
        peer = session.peers.get(owner) if owner is not None else None
        is_able = peer is not None and peer.wire.is_open and peer.may_be_probed
        return peer if peer is not None and is_able else self.peer()

    def _find_owner(self, session: Session, key: str) -> str:
        for number, peer in session.live_peers():
            if not peer.may_be_probed:
                continue
            answer = self._ask([(key, peer)])[key]
            if answer != LOCKED:
                session.exclusive[key.split(" ", 1)[1]] = number
                return answer
        return self._ask([(key, self.peer())])[key]

    def _ask(self, asked: list[tuple[str, Peer]]) -> dict[str, str]:
        pending = []
        for key, peer in asked:
            number = self.numbers.setdefault(key, PROBE_CHANNEL_MIN + 1 + len(self.numbers))
            channel = peer.channel(number)
            if not channel.is_open:
                peer.wire.send_method(number, "channel.open")
                channel.awaited.append("channel.open-ok")
            kind, name = key.split(" ", 1)
            args = {kind: name, "passive": True}
            if kind == "exchange":
                args["type"] = "direct"
            peer.wire.send_method(number, f"{kind}.declare", **args)
            channel.awaited.append(f"{kind}.declare-ok")
            pending.append((key, peer, number))
        return {key: self._answer(peer, number) for key, peer, number in pending}

    @staticmethod
    def _answer(peer: Peer, number: int) -> str:
        deadline = peer.wire.deadline()
        while peer.is_due(number):
            peer.read(deadline)
        received = peer.probed.get(number)
        if received is None or not peer.wire.is_open:
            return "unknown"
        return _describe(received)

    def clean_up(self, session: Session, made: set[str]) -> None:
        """Delete what a program made; a name that is gone does no harm. Raises NoAnswer."""
        peer = self.peer()
        number = PROBE_CHANNEL_MIN
        if not peer.channel(number).is_open:
            peer.wire.send_method(number, "channel.open")
            peer.channel(number).awaited.append("channel.open-ok")
        for key in sorted(made):
            kind, name = key.split(" ", 1)
            peer.wire.send_method(number, f"{kind}.delete", **{kind: name})
            peer.channel(number).awaited.append(f"{kind}.delete-ok")
        deadline = peer.wire.deadline()
        while peer.is_due(number):
            peer.read(deadline)
        last = peer.probed[number]
        if last.name.endswith(".close"):
            raise NoAnswer(f"clean-up for {session.prefix} refused: {last.args}")


def _describe(received: Received) -> str:
    args = received.args
    if received.name == "queue.declare-ok":
        return f"ready={args['message_count']} consumers={args['consumer_count']}"
    if received.name == "exchange.declare-ok":
        return "there"
    codes = {404: GONE, 405: LOCKED}
    return codes.get(args.get("reply_code", 0), f"{received.name} {args}")
