"""Ready messages in partitions, each with its own order and its own loans.

The partition of a message follows from its key: header ``x-partition-key``, else the routing key.
Positions count on over all partitions, so that the oldest message of several is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqpbroker.broker.indexed_ready import IndexedReady, Level
from amqpbroker.broker.message_keys import PARTITION_KEY, key_in
from amqpbroker.broker.murmur2 import partition_of
from amqpbroker.broker.ready import Ready

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from amqpbroker.broker.consumer import Consumer
    from amqpbroker.broker.message import Delivery, Message
    from amqpbroker.wire.content import Publication


class Partition(Level):
    """One partition: its messages, whose they are, and who has some on loan."""

    __slots__ = ("consumer", "holder", "loan_count")

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.consumer: Consumer | None = None
        """Whom it is assigned to."""
        self.holder: Consumer | None = None
        """Who has messages of it on loan; None for basic.get, too."""
        self.loan_count = 0

    @property
    def number(self) -> int:
        """Which one it is, from 0 on."""
        return self.priority

    def __len__(self) -> int:
        return len(self.messages) + len(self.returned)

    @property
    def is_moving(self) -> bool:
        """Whether it waits for what somebody else has on loan."""
        return self.loan_count > 0 and self.holder is not self.consumer


class PartitionedReady(IndexedReady):
    """The ready messages of a queue with partitions."""

    __slots__ = ("_last", "partitions", "waiting")

    def __init__(self, count: int) -> None:
        super().__init__()
        self.partitions = [Partition(number) for number in range(count)]
        self._levels = [*self.partitions]
        self.waiting: dict[Consumer | None, dict[Partition, None]] = {}
        """Partitions with messages, and some that have lost theirs, by whose they are."""
        self._last: tuple[Publication | None, Partition] = None, self.partitions[0]
        """The partition of the publication that was last asked for."""

    def partition(self, publication: Publication) -> Partition:
        """Return the partition of messages of a publication."""
        last, found = self._last
        if last is not publication:
            key = key_in(publication, PARTITION_KEY)
            if key is None:
                key = publication.routing_key.encode("utf-8", "surrogateescape")
            found = self.partitions[partition_of(key, len(self.partitions))]
            self._last = publication, found
        return found

    def _level(self, message: Message) -> Level:
        return self.partition(message.publication)

    # take

    def pop_of(self, partition: Partition) -> Ready:
        """Take the first message of a partition; it must have one."""
        position, message, is_returned = partition.pop()
        self._forget(message)
        return Ready(position, message, is_returned or position < self._redelivered_until)

    def oldest(self, partitions: Iterable[Partition]) -> Partition | None:
        """Return the partition with the oldest message, None if they have none."""
        return min((item for item in partitions if item), key=Level.first, default=None)

    def peek(self) -> Message | None:
        """Return the oldest message of the partitions of which nothing is on loan, or None."""
        partition = self.oldest(item for item in self.partitions if not item.loan_count)
        return None if partition is None else partition.peek()

    def pop(self) -> Ready:
        """Take the oldest message of all.

        Raises :class:`IndexError` if there is none.
        """
        partition = self.oldest(self.partitions)
        if partition is None:
            raise IndexError("no ready message")
        return self.pop_of(partition)

    # keep

    def extend(self, messages: Sequence[Message]) -> None:
        """Add messages at the tails of their partitions."""
        for position, message in enumerate(messages, self._head):
            partition = self.partition(message.publication)
            if not partition:
                self._wait(partition)
            partition.messages[position] = message
        self._head += len(messages)
        self._count += len(messages)
        self.size += sum([message.publication.body_size for message in messages])

    def clear(self) -> list[Message]:
        """Drop all messages; return them. What is on loan stays so."""
        messages = list(self)
        for partition in self.partitions:
            partition.messages.clear()
            partition.returned.clear()
            partition.order.clear()
        self._count = self.size = 0
        return messages

    def _wait(self, partition: Partition) -> None:
        self.waiting.setdefault(partition.consumer, {})[partition] = None

    def assign(self, owners: Iterable[Consumer | None]) -> None:
        """Let the partitions be those of ``owners``, one for each."""
        self.waiting = {}
        for partition, owner in zip(self.partitions, owners, strict=True):
            partition.consumer = owner
            if partition:
                self._wait(partition)

    # loans

    def lend(self, loans: Iterable[Delivery]) -> None:
        """Messages that were taken are to be settled."""
        for delivery in loans:
            partition = self.partition(delivery.message.publication)
            partition.loan_count += 1
            partition.holder = delivery.consumer

    def settle(self, deliveries: Iterable[Delivery]) -> None:
        """Messages on loan are gone for good."""
        for delivery in deliveries:
            self._end_loan(self.partition(delivery.message.publication))

    def give_back(self, position: int, message: Message) -> None:
        """Put a message that was on loan back where it was."""
        super().give_back(position, message)
        partition = self.partition(message.publication)
        self._wait(partition)
        self._end_loan(partition)

    def _end_loan(self, partition: Partition) -> None:
        partition.loan_count -= 1
        if not partition.loan_count:
            partition.holder = None
