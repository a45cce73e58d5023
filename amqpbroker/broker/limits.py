"""How much a queue may hold (FEATURES A9.4-A9.7): ready messages, and bytes of their bodies.

What is on loan does not count, and a message that a consumer takes at once never becomes ready.
Messages of one publish have bodies of one size, so that how many of them fit can be calculated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from amqpbroker.broker.dead_letter import MAXLEN
from amqpbroker.broker.settings import REJECT_PUBLISH, REJECT_PUBLISH_DLX

if TYPE_CHECKING:
    from amqpbroker.broker.at_least_once import Held
    from amqpbroker.broker.indexed_ready import IndexedReady
    from amqpbroker.broker.message import Message
    from amqpbroker.broker.settings import QueueSettings

UNLIMITED: Final = 1 << 62


class Limits:
    """The limits of one queue, and what to do about them."""

    __slots__ = ("_is_late", "_max_length", "_max_size", "held", "is_refusing", "refusal_reason")

    def __init__(self, settings: QueueSettings, *, is_late: bool = False) -> None:
        self._is_late = is_late
        self.held: Held | None = None
        """Dead letters that count too."""
        self._max_length = UNLIMITED if settings.max_length is None else settings.max_length
        self._max_size = UNLIMITED if settings.max_size is None else settings.max_size
        refusing = (REJECT_PUBLISH,) if is_late else (REJECT_PUBLISH, REJECT_PUBLISH_DLX)
        self.is_refusing = settings.overflow in refusing
        """Whether new messages are refused; if not, the head makes room for them."""
        self.refusal_reason = MAXLEN if settings.overflow == REJECT_PUBLISH_DLX else None
        """What a refused message dies of; None if it is only refused."""

    @classmethod
    def of(cls, settings: QueueSettings, *, is_late: bool = False) -> Limits | None:
        """Return the limits in ``settings``, None if there are none.

        ``is_late``: messages are refused only from the one after the first that is too much, and
        never become dead letters: reject-publish-dlx is not for quorum queues.
        """
        if settings.max_length is None and settings.max_size is None:
            return None
        return cls(settings, is_late=is_late)

    def has_room(self, ready: IndexedReady, body_size: int) -> bool:
        """Return whether one more message fits."""
        if self._is_late:
            count, size = self._total(ready)
            return count <= self._max_length and size <= self._max_size
        return len(ready) < self._max_length and ready.size + body_size <= self._max_size

    def excess(self, ready: IndexedReady, body_size: int) -> int:
        """Return how many of the messages just taken, with bodies of one size, are refused."""
        count, size = self._total(ready)
        too_many = max(0, count - self._max_length)
        too_large = size - self._max_size
        if too_large > 0 and body_size:
            too_many = max(too_many, -(-too_large // body_size))
        return max(0, too_many - 1) if self._is_late else too_many

    def _total(self, ready: IndexedReady) -> tuple[int, int]:
        """Return how many messages and bytes count."""
        held = self.held
        if held is None:
            return len(ready), ready.size
        return len(ready) + len(held), ready.size + held.size

    def drop_head(self, ready: IndexedReady) -> list[Message]:
        """Take messages from the head until the rest is within the limits; return them."""
        dropped = []
        while len(ready) > self._max_length or ready.size > self._max_size:
            dropped.append(ready.pop_oldest().message)
        return dropped
