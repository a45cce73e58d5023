"""What clients know about the messages of durable queues, and what a broker may then have lost.

A message in a queue goes through these states::

    sent ──confirm or tx.commit-ok──▶ promised ──ack sent──▶ leaving ──sure──▶ gone
      └──────────────found after a restart──────▲

- *sent*: after a crash it may be there or not.
- *promised*: it must be there, until it is settled.
- *leaving*: its ack (or nack without requeue) was sent. A broker may crash before it has read that,
  so it may be there or not.
- *gone*: the ack is **sure**: on the same channel a confirm or a tx.commit-ok came for something
  that was sent after the ack. A channel is handled in order and what it stages is committed in
  order, so the ack has been committed too. An answer to any other method would only show that the
  ack was read. From now on the message must never be seen again.

What is found after a restart is all that there is, so then every message is promised or gone.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple


class Found(NamedTuple):
    """A message as it was delivered."""

    name: str
    redelivered: bool


class Move(NamedTuple):
    """A message that a transaction takes from one queue and publishes under a name to another."""

    source: str
    name: str
    target: str
    new_name: str


@dataclass
class QueueHistory:
    """The messages of one queue by name (``publisher-number``), in one state each."""

    sent: set[str] = field(default_factory=set)
    promised: set[str] = field(default_factory=set)
    leaving: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    delivered: set[str] = field(default_factory=set)
    """Those that were ever delivered, whatever their state."""


class History:
    """All queues; ``problems`` says in words what the broker must not have done."""

    def __init__(self) -> None:
        self.queues: defaultdict[str, QueueHistory] = defaultdict(QueueHistory)
        self.problems: list[str] = []
        self.counts: defaultdict[str, int] = defaultdict(int)
        self._groups: list[tuple[tuple[str, str], ...]] = []
        self._moves: list[Move] = []

    # what clients do

    def send(self, name: str, *queues: str) -> None:
        """A message is about to be published to queues."""
        for queue in queues:
            self.queues[queue].sent.add(name)

    def send_together(self, *messages: tuple[str, str]) -> None:
        """(Queue, name) are about to be published in one transaction."""
        for queue, name in messages:
            self.send(name, queue)
        self._groups.append(messages)

    def move(self, move: Move) -> None:
        """A transaction is about to be committed that moves a message."""
        self.send(move.new_name, move.target)
        self.leave(move.source, move.name)
        self._moves.append(move)

    def promise(self, name: str, *queues: str) -> None:
        """The broker has confirmed a message, or the transaction that published it."""
        self.counts["confirmed"] += 1
        for queue in queues:
            history = self.queues[queue]
            if name in history.sent:
                history.sent.discard(name)
                history.promised.add(name)

    def deliver(self, queue: str, name: str, *, redelivered: bool) -> None:
        """The broker has delivered a message."""
        history = self.queues[queue]
        self.counts["delivered"] += 1
        if name in history.gone:
            self.problems.append(f"{queue}: {name} was settled for sure and is delivered again")
        elif not self._is_known(queue, name):
            self.problems.append(f"{queue}: {name} was never published there")
        if name in history.delivered and not redelivered:
            self.problems.append(f"{queue}: {name} comes again, not flagged as redelivered")
        history.delivered.add(name)

    def leave(self, queue: str, name: str) -> None:
        """A message is about to be settled for good."""
        history = self.queues[queue]
        if name in history.sent or name in history.promised:
            history.sent.discard(name)
            history.promised.discard(name)
            history.leaving.add(name)

    def be_sure(self, queue: str, name: str) -> None:
        """The settling of a message is sure."""
        self.counts["settled"] += 1
        history = self.queues[queue]
        history.leaving.discard(name)
        history.gone.add(name)

    def _is_known(self, queue: str, name: str) -> bool:
        history = self.queues[queue]
        return any(
            name in names
            for names in (history.promised, history.sent, history.leaving, history.gone)
        )

    def backlog(self, queue: str) -> int:
        """Return how many messages a queue holds, about."""
        history = self.queues[queue]
        return len(history.promised) + len(history.sent)

    # what is there after a restart

    def compare(self, contents: dict[str, list[Found]]) -> None:
        """Hold all that the queues contain, in order, against what is known."""
        names = {queue: {item.name for item in found} for queue, found in contents.items()}
        for queue, found in contents.items():
            self._compare_queue(queue, found)
        self._compare_transactions(names)
        for queue, present in names.items():
            history = self.queues[queue]
            known = history.sent | history.promised | history.leaving
            history.gone |= known - present
            history.promised = present
            history.sent, history.leaving = set(), set()

    def _compare_queue(self, queue: str, found: list[Found]) -> None:
        history = self.queues[queue]
        names = [item.name for item in found]
        self.counts["found"] += len(names)
        lost = history.promised - set(names)
        self.counts["lost"] += len(lost)
        self.problems += [f"{queue}: {name} was confirmed and is lost" for name in sorted(lost)]
        back = history.gone & set(names)
        self.counts["back"] += len(back)
        self.problems += [f"{queue}: {name} was settled for sure and is back" for name in back]
        for name in names:
            if not self._is_known(queue, name):
                self.problems.append(f"{queue}: {name} was never published there")
        if len(set(names)) != len(names):
            self.problems.append(f"{queue}: a message is there twice")
        for item in found:
            if item.name in history.delivered and not item.redelivered:
                self.problems.append(f"{queue}: {item.name} is not flagged as redelivered")
        self.problems += out_of_order(queue, names)

    def _compare_transactions(self, names: dict[str, set[str]]) -> None:
        for group in self._groups:
            open_ = [item for item in group if not self._is_settled(*item)]
            present = {name in names[queue] for queue, name in open_}
            if len(present) > 1:
                self.problems.append(f"half a transaction is there: {open_}")
        for source, name, target, new_name in self._moves:
            if self._is_settled(target, new_name):
                continue
            if (name in names[source]) == (new_name in names[target]):
                number = "both" if name in names[source] else "none"
                self.problems.append(f"{number} there of {source}: {name}, {target}: {new_name}")
        self._groups.clear()
        self._moves.clear()

    def _is_settled(self, queue: str, name: str) -> bool:
        history = self.queues[queue]
        return name in history.leaving or name in history.gone


def out_of_order(queue: str, names: list[str]) -> list[str]:
    """Return a problem for each publisher whose messages are not in the order of their numbers."""
    last: dict[str, int] = {}
    problems = []
    for name in names:
        publisher, _, number = name.rpartition("-")
        if int(number) <= last.get(publisher, -1):
            problems.append(f"{queue}: {name} comes after {publisher}-{last[publisher]}")
        last[publisher] = int(number)
    return problems
