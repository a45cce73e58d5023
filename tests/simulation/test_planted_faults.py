"""Broken on purpose, the broker must be found out: only then does silence mean something.

Each test plants one bug in the broker, the kind that reviews and unit tests miss, and runs seeds
until one fails as it should: which symptom comes first is up to the seed.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from amqpbroker.broker import journal
from amqpbroker.broker.confirms import Confirms
from amqpbroker.broker.expiry import Expiry
from amqpbroker.broker.handlers import channel as channel_handlers
from amqpbroker.broker.handlers import queue as queue_handlers
from amqpbroker.broker.journal import Journal
from amqpbroker.broker.partitioned_ready import PartitionedReady
from amqpbroker.broker.queue import Queue
from amqpbroker.broker.ready import ReadyMessages
from amqpbroker.broker.recovery import Replay
from amqpbroker.broker.runs import rewritten_runs
from amqpbroker.broker.segments import Segments
from amqpbroker.storage.segment_store import SegmentStore
from amqpbroker.wire.methods import TxCommitOk
from interop.simulation.run import run_seed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pytest

    from amqpbroker.broker.channel import Channel
    from amqpbroker.broker.consumer import Consumer
    from amqpbroker.broker.message import Message
    from amqpbroker.broker.runs import Run
    from amqpbroker.broker.segments import Segment
    from amqpbroker.wire.codec import Method

FIRST_SEED = 100
COUNT_MAX = 200


def is_found_out(*texts: str) -> bool:
    """Return whether the planted bug shows in one of the ways that one would expect."""
    for seed in range(FIRST_SEED, FIRST_SEED + COUNT_MAX):
        failure = run_seed(seed).failure or ""
        if any(text in failure for text in texts):
            return True
    return False


def seldom(function: Callable[..., Any], every: int) -> Callable[..., Any]:
    """Return a function that does nothing each time after ``every`` calls."""
    calls = count(1)
    return lambda *arguments: function(*arguments) if next(calls) % every else None


def test_confirms_that_do_not_wait_for_the_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    publish = Confirms.publish

    def at_once(self: Confirms, number: int, ticket: int = 0, refused: int = 0) -> None:
        publish(self, number, 0, refused)

    monkeypatch.setattr(Confirms, "publish", at_once)
    assert is_found_out("is lost", "came back", "404")


def test_a_commit_that_is_answered_before_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(channel: Channel) -> None:
        channel.session.send(channel.number, TxCommitOk())

    monkeypatch.setattr(channel_handlers, "_committed", at_once)
    assert is_found_out("is lost", "came back")


def test_definitions_that_are_answered_before_they_are_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def answer(
        channel: Channel,
        method: Method,
        *,
        nowait: bool = False,
        then: Callable[[], None] = lambda: None,
    ) -> None:
        store = channel.session.broker.store
        assert store is not None
        store.take_ticket()
        if not nowait:
            channel.session.send(channel.number, method)
        then()

    monkeypatch.setattr(queue_handlers, "answer", answer)
    assert is_found_out("404", "is lost", "but is there")


def test_a_sync_that_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SegmentStore, "_sync_file", lambda self, file: None)
    assert is_found_out("is lost", "came back", "does not start")


def test_a_recovery_that_drops_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Replay, "_enqueue", seldom(Replay._enqueue, 13))
    assert is_found_out("is lost", "not empty", "half a transaction")


def test_a_recovery_that_drops_settles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Replay, "_settle", seldom(Replay._settle, 13))
    assert is_found_out("came back", "not empty", "twice")


def test_a_recovery_that_forgets_which_messages_may_have_been_delivered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def recover(self: ReadyMessages, messages: Iterable[Message]) -> None:
        self.extend(list(messages))

    monkeypatch.setattr(ReadyMessages, "recover", recover)
    assert is_found_out("not marked redelivered")


def test_deadlines_that_are_forgotten_by_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Expiry, "recovered", lambda self, messages: list(messages))
    assert is_found_out("after it had expired")


def test_a_reclaim_that_ignores_references(monkeypatch: pytest.MonkeyPatch) -> None:
    def dead(self: Segments) -> list[Segment]:
        return [segment for segment in list(self)[:-1] if not segment.alive_count]

    monkeypatch.setattr(Segments, "dead", dead)
    assert is_found_out("came back", "not empty")


def test_a_compaction_that_leaves_messages_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def rewritten(*arguments: Any) -> Iterator[Run]:
        for run in rewritten_runs(*arguments):
            assert run.messages is not None
            if len(run.messages) > 1:
                run.messages.pop()
            yield run

    monkeypatch.setattr(journal, "rewritten_runs", rewritten)
    assert is_found_out("is lost")


def test_settles_that_are_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Journal, "settle", seldom(Journal.settle, 20))
    assert is_found_out("came back", "segments are left", "not empty")


def test_a_dead_letter_that_is_not_one_batch_with_the_settle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dead_letter = Queue.dead_letter

    def torn(self: Queue, reason: str, messages: list[Message]) -> None:
        dead_letter(self, reason, messages)
        log = self.journal
        if log is not None and log._open:
            log._full.append(log._open)
            log._open = type(log._open)(log._open.number + 1)

    monkeypatch.setattr(Queue, "dead_letter", torn)
    assert is_found_out("is lost", "came back", "twice", "not marked redelivered")


def test_a_message_that_stays_ready_while_it_is_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    deliver, calls = Queue.deliver_run, count(1)

    def twice(
        self: Queue, consumer: Consumer, position: int, run: list[Message], *rest: Any
    ) -> None:
        deliver(self, consumer, position, run, *rest)
        if not next(calls) % 50 and not consumer.no_ack:
            self.ready.give_back(position, run[0])

    monkeypatch.setattr(Queue, "deliver_run", twice)
    assert is_found_out("had it", "twice", "came back")


def test_a_requeue_that_is_not_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    pop = ReadyMessages.pop

    def unmarked(self: ReadyMessages) -> Any:
        return pop(self)._replace(redelivered=False)

    monkeypatch.setattr(ReadyMessages, "pop", unmarked)
    assert is_found_out("not marked redelivered")


def test_a_queue_that_mixes_up_its_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    extend = ReadyMessages.extend

    def mixed(self: ReadyMessages, messages: list[Message]) -> None:
        extend(self, messages)
        if type(self) is ReadyMessages:
            self._messages.rotate(1)

    monkeypatch.setattr(ReadyMessages, "extend", mixed)
    assert is_found_out("after number", "behind number")


def test_a_partition_that_takes_messages_in_the_wrong_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    extend = PartitionedReady.extend

    def backwards(self: PartitionedReady, messages: Sequence[Message]) -> None:
        extend(self, messages[::-1])

    monkeypatch.setattr(PartitionedReady, "extend", backwards)
    assert is_found_out("was delivered after number", "behind number")
