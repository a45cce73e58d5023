"""What the model is about: messages, their copies in queues, transactions, channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from interop.simulation.topology import QueueSpec

Outcome = Literal["ack", "reject", "requeue"]
Fate = Literal["lent", "settled", "missed"]
"""What becomes of a delivery: *missed* comes back, the client had hung up or closed the channel."""


class Violation(Exception):
    """The broker broke its word."""


class Message:
    """What was published once."""

    __slots__ = ("body", "copies", "handled_in_life", "is_confirmed", "is_persistent",
                 "is_spread", "key", "known_at", "life", "number", "publisher", "sent_at", "state",
                 "transaction", "ttl_ms")  # fmt: skip

    def __init__(self, publisher: Party, number: int, body: bytes, *, is_persistent: bool) -> None:
        self.publisher = publisher
        self.number = number
        """Of the publisher's messages."""
        self.body = body
        self.is_persistent = is_persistent
        self.key = ""
        """Its partition key."""
        self.ttl_ms: int | None = None
        self.copies: list[Copy] = []
        self.state: Literal["sent", "known", "refused"] = "sent"
        """Whether the broker has said that it has it, or would rather not."""
        self.handled_in_life = -1
        """The life in which the broker answered something sent after it."""
        self.is_spread = False
        """It was published to the fanout exchange."""
        self.is_confirmed = False
        """All queues have taken it, the broker says."""
        self.known_at = 0.0
        self.sent_at = 0.0
        self.life = 0
        self.transaction: Transaction | None = None

    def __repr__(self) -> str:
        return f"{self.publisher.name}#{self.number}"


class Copy:
    """A message in one queue."""

    __slots__ = ("delivered_at", "delivered_to", "gone_for_good", "gone_in_life",
                 "left_for_good", "left_in_life", "loan",
                 "may_be_gone", "message", "places_found", "seen", "spec", "ttl_ms")  # fmt: skip

    def __init__(self, message: Message, spec: QueueSpec) -> None:
        self.message = message
        self.spec = spec
        ttls = [ttl for ttl in (spec.ttl_ms, message.ttl_ms) if ttl is not None]
        self.ttl_ms = min(ttls) if ttls else None
        self.loan: Party | None = None
        self.delivered_to: Party | None = None
        """Who had it last, since ``delivered_at``."""
        self.delivered_at = 0.0
        self.seen: dict[str, int] = {}
        """Place → the last life in which it was delivered there."""
        self.may_be_gone = False
        """Somebody has tried to settle it, or it may have been purged."""
        self.gone_in_life = self.left_in_life = -1
        """The life in which it surely went, or went from its first place to its grave."""
        self.gone_for_good = self.left_for_good = False
        self.places_found: list[str] = []
        """Where it was when all was drained."""

    def __repr__(self) -> str:
        return f"{self.message} in {self.spec.name}"


class Settle(NamedTuple):
    """A copy that goes, or (``is_leaving``) goes to its grave."""

    copy: Copy
    is_leaving: bool


class Transaction:
    """Publishes and settles that are to become true together."""

    __slots__ = ("life", "messages", "settles", "state")

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.settles: list[tuple[Outcome, Copy, str]] = []
        self.state: Literal["open", "sent", "known"] = "open"
        self.life = 0


class Party:
    """A channel, as publisher and as consumer."""

    __slots__ = ("deaf_until", "durable_count", "handled_count", "handled_message_count", "is_over",
                 "message_count", "messages", "name", "settles", "transaction")  # fmt: skip

    def __init__(self, name: str, *, is_transactional: bool) -> None:
        self.name = name
        self.message_count = 0
        self.settles: list[Settle] = []
        """All that were sent, in order."""
        self.messages: list[Message] = []
        """All that were published outside of transactions, in order."""
        self.handled_message_count = 0
        self.handled_count = self.durable_count = 0
        self.deaf_until = -1.0
        """When its client reads again, or last did."""
        self.is_over = False
        """Nothing is on loan to it any more."""
        self.transaction = Transaction() if is_transactional else None

    def __repr__(self) -> str:
        return self.name
