"""What clients know of their messages, and what must therefore be true of what they see next.

A *copy* is a message in one queue. It was *published*, then perhaps *delivered*, *on loan*,
*settled*. A message that the queue's dead letters end with is the same copy in another *place*, the
queue's grave.

What a client knows of a settle comes in three steps:

1. *sent*: the broker may have acted on it or not. The copy may be gone, or may come back.
2. *handled*: the broker answered something sent after it. In this life of the broker the copy must
   not come back.
3. *durable*: the broker confirmed something persistent that was sent when the settle was handled
   (or sent, on the same channel), or a tx.commit that carried it, or it stopped in good order. The
   copy must never come back.

A delivery without acknowledgement is a settle that was handled when the client sees it. A dead
letter that a client sees is one too, of the copy in its first place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from interop.simulation.knowledge import Knowledge
from interop.simulation.order import Order
from interop.simulation.things import Copy, Settle, Transaction, Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from interop.simulation.knowledge import Mark
    from interop.simulation.things import Fate, Message, Outcome, Party
    from interop.simulation.topology import QueueSpec

CLOCK_SLACK_S: Final = 0.005
"""Deadlines are kept in whole milliseconds over a restart."""


class _Dispute(NamedTuple):
    """A delivery that contradicts one to somebody else at the same time, or while one did not read.

    It is in order if one of the two channels is closed at that time: what the broker has sent there
    was before or is void. Writing to several connections, it keeps no order between them.
    """

    at: float
    copy: Copy
    first: Party
    second: Party
    is_lent: bool
    violation: Violation


class Model:
    """All copies, and what is known of them."""

    def __init__(self, now: Callable[[], float], visitors: Iterable[QueueSpec] = ()) -> None:
        self.now = now
        self._visitors = {spec.name: spec for spec in visitors}
        """Queues that are bound to the fanout exchange now and then."""
        self.messages: dict[bytes, Message] = {}
        """By body."""
        self.transactions: list[Transaction] = []
        self.knowledge = Knowledge()
        self._order = Order(now)
        self._purging: list[QueueSpec] = []
        self.delivered_count = 0
        self._disputes: list[_Dispute] = []

    @property
    def life(self) -> int:
        """The number of the broker's life."""
        return self.knowledge.life

    # publishing

    def publish(
        self, message: Message, queues: Sequence[QueueSpec], transaction: Transaction | None
    ) -> None:
        """Take note of a message that is about to be sent."""
        message.life = self.life
        message.sent_at = self.now()
        message.copies = [Copy(message, spec) for spec in queues]
        message.transaction = transaction
        self.messages[message.body] = message
        if transaction is None:
            message.publisher.messages.append(message)
        else:
            transaction.messages.append(message)

    def confirm(self, message: Message, party: Party, mark: Mark) -> None:
        """The broker has a message."""
        if message.state != "sent":
            raise Violation(f"{message} was confirmed twice")
        message.state = "known"
        message.is_confirmed = True
        message.known_at = self.now()
        self.knowledge.handle(party, mark)
        if message.is_persistent and any(copy.spec.is_durable for copy in message.copies):
            self.knowledge.confirm(party, mark)

    def refuse(self, message: Message, party: Party, mark: Mark) -> None:
        """The broker has refused a message: one of its queues is full."""
        if message.state != "sent":
            raise Violation(f"{message} was refused after it was confirmed")
        refusing = [copy for copy in message.copies if copy.spec.is_refusing]
        if not refusing:
            raise Violation(f"{message} was refused, but none of its queues does that")
        message.state = "refused"
        self.knowledge.handle(party, mark)
        if len(refusing) == 1 and refusing[0].seen:
            raise Violation(f"{refusing[0]} was delivered, and then refused")

    # settling

    def settle(self, party: Party, copy: Copy, place: str, outcome: Outcome) -> None:
        """A client is about to settle a delivery, at once or in its transaction."""
        self.check_disputes()
        if party.transaction is not None:
            party.transaction.settles.append((outcome, copy, place))
            return
        copy.loan = None
        if outcome != "requeue":
            party.settles.append(self._going(copy, place, outcome))

    def _going(self, copy: Copy, place: str, outcome: Outcome) -> Settle:
        is_leaving = outcome == "reject" and copy.spec.grave is not None and place == copy.spec.name
        if not is_leaving:
            copy.may_be_gone = True
        return Settle(copy, is_leaving)

    # transactions

    def commit(self, party: Party) -> Transaction:
        """A client is about to commit; a new transaction begins."""
        transaction = party.transaction
        assert transaction is not None
        transaction.state = "sent"
        transaction.life = self.life
        self.transactions.append(transaction)
        for outcome, copy, place in transaction.settles:
            copy.loan = None
            if outcome != "requeue":
                self._going(copy, place, outcome)
        party.transaction = Transaction()
        return transaction

    def committed(self, transaction: Transaction, mark: Mark) -> None:
        """The broker has answered tx.commit."""
        transaction.state = "known"
        for message in transaction.messages:
            message.state = "known"
            message.is_confirmed = True
            message.known_at = self.now()
        kept = [m for m in transaction.messages if m.is_persistent]
        own = [
            self._going(copy, place, outcome)
            for outcome, copy, place in transaction.settles
            if outcome != "requeue"
        ]
        for item in own:
            self.knowledge.note_handled(item)
        is_durable = any(copy.spec.is_durable for message in kept for copy in message.copies)
        self.knowledge.make_durable(own, mark.handled_count if is_durable else 0)

    def roll_back(self, party: Party) -> None:
        """A client is about to forget its transaction."""
        assert party.transaction is not None
        for message in party.transaction.messages:
            del self.messages[message.body]
        party.transaction = Transaction()

    # delivering

    def find(self, body: bytes, place: str) -> Copy:
        """Return the copy that a body from a queue is."""
        message = self.messages.get(body)
        if message is None:
            raise Violation(f"{place}: {body[:40]!r} was never published")
        for copy in message.copies:
            grave = copy.spec.grave
            if copy.spec.name == place or (grave is not None and grave.name == place):
                return copy
        if message.is_spread and place in self._visitors:
            copy = Copy(message, self._visitors[place])
            copy.may_be_gone = True
            message.copies.append(copy)
            return copy
        raise Violation(f"{message} was not routed to {place}")

    def deliver(
        self, copy: Copy, place: str, party: Party, *, redelivered: bool, name: str, fate: Fate
    ) -> None:
        """A client gets a message for its consumer ``name``, or would have got it (*missed*)."""
        self.delivered_count += 1
        self.check_disputes()
        now = self.now()
        if party.is_over:
            self._deliver_late(copy, place, fate)
            return
        is_prompt = party.deaf_until < now
        try:
            self._check_alive(copy, place)
            if not redelivered:
                _check_first(copy, place, self.life)
        except Violation as violation:
            first = copy.delivered_to
            if first is None or first is party or (is_prompt and copy.delivered_at != now):
                raise
            self._disputes.append(_Dispute(now, copy, first, party, fate == "lent", violation))
            return
        if copy.loan is not None:
            error = Violation(f"{copy} was delivered to {party} while {copy.loan} had it")
            self._disputes.append(_Dispute(now, copy, copy.loan, party, False, error))
        if place == copy.spec.name:
            if is_prompt:
                self._check_deadline(copy)
            if not redelivered and not copy.spec.max_priority:
                self._order.check(copy, f"{party} {name}", is_prompt=is_prompt)
        elif copy.left_in_life != self.life:
            self.knowledge.note_handled(Settle(copy, is_leaving=True))
        copy.delivered_at, copy.delivered_to = now, party
        copy.seen[place] = self.life
        if fate == "lent":
            copy.loan = party
        elif fate == "settled":
            copy.may_be_gone = True
            self.knowledge.note_handled(Settle(copy, is_leaving=False))

    def _deliver_late(self, copy: Copy, place: str, fate: Fate) -> None:
        """Somebody who had hung up would have got a message, some time before."""
        copy.seen.setdefault(place, self.life)
        if fate == "settled":
            copy.may_be_gone = True
            self.knowledge.note_handled(Settle(copy, is_leaving=False))

    def check_disputes(self) -> None:
        """See that what contradicts each other was never true at the same time."""
        if not self._disputes or self._disputes[0].at == self.now():
            return
        for at, copy, first, second, is_lent, violation in self._disputes:
            is_first_over = first.is_over or first.deaf_until >= at
            if not is_first_over and not second.is_over:
                raise violation
            if is_first_over and not second.is_over and is_lent:
                copy.loan = second
        self._disputes.clear()

    def _check_alive(self, copy: Copy, place: str) -> None:
        message = copy.message
        if copy.gone_for_good or copy.gone_in_life == self.life:
            raise Violation(f"{copy} came back after it was settled (from {place})")
        if place == copy.spec.name and (copy.left_for_good or copy.left_in_life == self.life):
            raise Violation(f"{copy} came back after it was dead-lettered")
        is_kept = copy.spec.keeps(is_persistent=message.is_persistent)
        is_kept |= place != copy.spec.name and message.is_persistent
        if message.life != self.life and not is_kept:
            raise Violation(f"{copy} survived a restart though it is not to be kept")
        transaction = message.transaction
        if transaction is not None and transaction.state == "open":
            raise Violation(f"{copy} was delivered before its commit")
        if message.state == "refused":
            refusing = [other for other in message.copies if other.spec.is_refusing]
            if refusing == [copy]:
                raise Violation(f"{copy} was delivered though it was refused")

    def _check_deadline(self, copy: Copy) -> None:
        message = copy.message
        if copy.ttl_ms is None or message.state != "known":
            return
        late_s = self.now() - message.known_at - copy.ttl_ms / 1000
        if late_s > CLOCK_SLACK_S:
            raise Violation(f"{copy} was delivered {late_s:.3f} s after it had expired")

    # the fate of a broker, a channel, a queue

    def stop(self, *, is_clean: bool) -> None:
        """A life of the broker is over; ``is_clean``: it has written everything before."""
        self._disputes.clear()
        for message in self.messages.values():
            if is_clean and message.handled_in_life == self.life and message.state == "sent":
                message.state = "known"
                message.known_at = self.now()
            for copy in message.copies:
                copy.loan = None
        self.knowledge.stop(is_clean=is_clean)
        for spec in self._purging:
            self._may_be_purged(spec)
        self._purging.clear()

    def delete(self, spec: QueueSpec) -> list[Copy]:
        """A client is about to delete a queue; return the copies that surely go with it."""
        doomed = []
        for message in self.messages.values():
            for copy in message.copies:
                if copy.spec is not spec:
                    continue
                copy.may_be_gone = True
                if message.state == "known" or copy.seen:
                    doomed.append(copy)
        return doomed

    def purge(self, spec: QueueSpec) -> None:
        """A client is about to purge a queue."""
        self._purging.append(spec)
        self._may_be_purged(spec)

    def purged(self, spec: QueueSpec) -> None:
        """The broker has done it. Where it says nothing, it may do so until the end of its life."""
        self._purging.remove(spec)
        self._may_be_purged(spec)

    def _may_be_purged(self, spec: QueueSpec) -> None:
        for message in self.messages.values():
            for copy in message.copies:
                if spec in (copy.spec, copy.spec.grave):
                    copy.may_be_gone = True

    # the end

    def drain(self, place: str, copies: Sequence[Copy]) -> None:
        """Take note of all that a queue held at the end, in order; nobody has settled it yet."""
        last: dict[tuple[Party, str], int] = {}
        for copy in copies:
            copy.places_found.append(place)
            message = copy.message
            if place != copy.spec.name or copy.spec.max_priority or copy.spec.is_quorum:
                continue  # what came back to a quorum queue is somewhere else
            lane = (message.publisher, copy.spec.lane(message.key))
            if message.number < last.get(lane, 0):
                raise Violation(f"{copy} is behind number {last[lane]} at the end")
            last[lane] = message.number

    def may_expire(self, spec: QueueSpec) -> bool:
        """Return whether messages may leave or come to a queue as time goes by."""
        return any(
            copy.ttl_ms is not None
            for message in self.messages.values()
            for copy in message.copies
            if spec in (copy.spec, copy.spec.grave)
        ) or any(
            message.ttl_ms is not None
            for message in self.messages.values()
            if message.is_spread and spec.name in self._visitors
        )

    def check_all_found(self) -> None:
        """Nothing confirmed may be missing, and nothing may be there twice."""
        for message in self.messages.values():
            for copy in message.copies:
                if len(copy.places_found) > 1:
                    raise Violation(f"{copy} is there twice: {copy.places_found}")
                if not copy.places_found and self._must_be_there(copy):
                    raise Violation(f"{copy} is lost")
        for transaction in self.transactions:
            if transaction.state == "sent" and transaction.life != self.life:
                _check_atomic(transaction)

    def _must_be_there(self, copy: Copy) -> bool:
        message = copy.message
        is_handled = message.state == "known" or message.handled_in_life == self.life
        if not is_handled or copy.may_be_gone or message.state == "refused":
            return False
        if copy.spec.is_refusing and not message.is_confirmed:
            return False
        is_kept = copy.spec.keeps(is_persistent=message.is_persistent)
        if copy.spec.grave is not None:  # a letter is as transient as the message was
            is_kept &= message.is_persistent
        if message.life != self.life and not is_kept:
            return False
        if copy.spec.grave is not None:
            return True
        if copy.spec.is_dropping:
            return False
        # A restart counts what was left in whole milliseconds.
        return copy.ttl_ms is None or self.now() < message.sent_at + (copy.ttl_ms - 1) / 1000


def _check_first(copy: Copy, place: str, life: int) -> None:
    """Hold against a delivery that is not marked what was delivered before."""
    if place not in copy.seen:
        return
    # A dead letter that a crash undid dies once more: that is another message.
    is_the_same = copy.left_for_good and copy.seen[place] >= copy.left_in_life
    if place == copy.spec.name or is_the_same or copy.seen[place] == life:
        raise Violation(f"{copy} was delivered again from {place}, not marked redelivered")


def _check_atomic(transaction: Transaction) -> None:
    """A transaction of unknown outcome is there as a whole or not at all."""
    kept = [
        copy
        for message in transaction.messages
        for copy in message.copies
        if copy.spec.keeps(is_persistent=message.is_persistent)
        if copy.spec.max_length is None and copy.ttl_ms is None
    ]
    there = [copy for copy in kept if _was_there(copy, transaction.life)]
    missing = [copy for copy in kept if copy not in there and not copy.may_be_gone]
    returned = [
        copy
        for outcome, copy, _ in transaction.settles
        if outcome == "ack" and _was_there(copy, transaction.life)
    ]
    if there and (missing or returned):
        raise Violation(f"half a transaction: {there} are there, not {missing}, but {returned}")


def _was_there(copy: Copy, life: int) -> bool:
    return bool(copy.places_found) or any(seen > life for seen in copy.seen.values())
