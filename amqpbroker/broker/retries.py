"""Messages that come back to a queue wait before they are tried again (FEATURES N7, A9.16).

After the n-th failure a message waits ``min * n`` milliseconds, or ``min * multiplier ** (n - 1)``,
at most ``max``, less a share of it that is left to chance. What fails more often than the delivery
limit allows dies.

A message that waits is neither ready nor on loan. It keeps its place: when it is due it stands in
line where it was. Count, time and error are in a record of the log, as those of quorum queues are,
so they survive a restart and no body is written twice. Its time to live goes on; if that ends
first, it expires then.
"""

from __future__ import annotations

from heapq import heappop, heappush
from random import random
from typing import TYPE_CHECKING, Final

from amqpbroker.broker.arguments import EXPIRY_MS_MAX
from amqpbroker.broker.dead_letter import DELIVERY_LIMIT
from amqpbroker.broker.delivery_count import history_of, with_history
from amqpbroker.broker.expiry import ExpiringMessage
from amqpbroker.broker.indexed_ready import IndexedReady
from amqpbroker.broker.runs import Run
from amqpbroker.broker.settings import FAILED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from amqpbroker.broker.message import Delivery, Message
    from amqpbroker.broker.queue import Queue
    from amqpbroker.broker.settings import QueueSettings
    from amqpbroker.broker.timers import Timer

RELEASED_COUNT_MAX: Final = 512
"""Messages after which a timer lets clients have their turn."""
ALL: Final = "all"
RETURNED: Final = "returned"


def delay_ms(settings: QueueSettings, failure_count: int, chance: float) -> int:
    """Return how long a message waits after so many failures; ``chance`` is from 0 to 1."""
    first_ms, multiplier = settings.retry_min_ms, settings.retry_multiplier
    assert first_ms is not None
    most_ms = min(settings.retry_max_ms, EXPIRY_MS_MAX)
    if multiplier is None:
        wanted_ms: float = first_ms * failure_count
    else:
        try:
            wanted_ms = first_ms * float(multiplier) ** (failure_count - 1)
        except OverflowError:
            wanted_ms = most_ms
    return max(1, round(min(wanted_ms, most_ms) * (1 - settings.retry_jitter * chance)))


class Retries:
    """What waits in one queue."""

    __slots__ = ("_heap", "_queue", "_random", "_timer")

    def __init__(self, queue: Queue, chance: Callable[[], float] = random) -> None:
        self._queue = queue
        self._random = chance
        self._heap: list[tuple[float, int]] = []
        """(deadline, position); of some that are gone, too."""
        self._timer: Timer | None = None

    def __len__(self) -> int:
        return len(self._ready.retrying)

    @property
    def is_active(self) -> bool:
        """Whether what comes back now may wait: a policy that said so may be gone."""
        return self._queue.settings.retry_min_ms is not None

    @property
    def _ready(self) -> IndexedReady:
        ready = self._queue.ready
        assert isinstance(ready, IndexedReady)
        return ready

    def take_back(self, deliveries: Iterable[Delivery], *, is_lost: bool) -> list[Delivery]:
        """Let messages wait or die; return those that are to be put back at once, counted."""
        queue = self._queue
        if queue.is_deleted or not self.is_active:
            return list(deliveries)
        settings = queue.settings
        limit = settings.delivery_limit
        at_once: list[Delivery] = []
        dead: list[Delivery] = []
        for delivery in deliveries:
            history = history_of(delivery.message)
            count = history.delivery_count + 1
            due_ms = 0
            if limit is not None and count > limit:
                dead.append(delivery)
            elif settings.retry_type in (ALL, RETURNED if is_lost else FAILED):
                due_ms = queue_wall_ms(queue) + delay_ms(settings, count, self._random())
            history = history._replace(delivery_count=count, due_ms=due_ms)
            delivery.message = with_history(delivery.message, history)
            if due_ms:
                queue.unsettled_count -= 1
                self._hold(delivery.position, delivery.message, due_ms)
            elif not dead or dead[-1] is not delivery:
                at_once.append(delivery)
        self._record([item.message for item in at_once])
        self._bury(dead)
        return at_once

    def _record(self, messages: list[Message]) -> None:
        """Have the log know what has become of messages."""
        journal = self._queue.journal
        kept = [message for message in messages if isinstance(message.run, Run)]
        if journal is not None and kept:
            journal.count(self._queue, kept)

    def _hold(self, position: int, message: Message, due_ms: int) -> None:
        self._record([message])
        self._wait(position, message, due_ms)

    def _wait(self, position: int, message: Message, due_ms: int) -> None:
        vhost = self._queue.vhost
        assert vhost is not None
        timers = vhost.timers
        deadline = timers.now() + max(0, due_ms - timers.wall_ms()) / 1000
        if isinstance(message, ExpiringMessage):
            deadline = min(deadline, message.deadline)
        self._ready.retrying[position] = message
        heappush(self._heap, (deadline, position))
        self._set_timer()

    def _bury(self, dead: list[Delivery]) -> None:
        if not dead:
            return
        queue = self._queue
        queue.unsettled_count -= len(dead)
        messages = [delivery.message for delivery in dead]
        queue.dead_letter(DELIVERY_LIMIT, messages)
        queue.settle(messages)

    def recover(self) -> None:
        """Let those wait again that did before a restart, and are not due yet."""
        ready = self._ready
        now_ms = queue_wall_ms(self._queue)
        for position, message in list(ready.placed()):
            due_ms = history_of(message).due_ms
            if due_ms > now_ms:
                ready.remove(position)
                self._wait(position, message, due_ms)

    def _set_timer(self) -> None:
        if not self._heap:
            return
        vhost = self._queue.vhost
        assert vhost is not None
        deadline = self._heap[0][0]
        if self._timer is not None:
            if self._timer.deadline <= deadline:
                return
            self._timer.cancel()
        self._timer = vhost.timers.call_at(deadline, self._fire)

    def _fire(self) -> None:
        self._timer = None
        queue, ready, heap = self._queue, self._ready, self._heap
        assert queue.vhost is not None
        now = queue.vhost.timers.now()
        for _ in range(RELEASED_COUNT_MAX):
            if not heap or heap[0][0] > now:
                break
            _, position = heappop(heap)
            message = ready.retrying.pop(position, None)
            if message is not None:
                ready.give_back(position, message)
                if queue.expiry is not None:
                    queue.expiry.watch(position, (message,))
        if not ready.retrying:
            heap.clear()
        self._set_timer()
        queue.requeue(())  # what is too much or too old by now
        queue.pump()

    def stop(self) -> None:
        """Forget the times: the queue is deleted."""
        self._heap.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def queue_wall_ms(queue: Queue) -> int:
    """Return the time by the clock of a queue's vhost."""
    assert queue.vhost is not None
    return queue.vhost.timers.wall_ms()
