"""Rows of messages: what is written of them, and how survivors are gathered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.broker.message import Message
from amqpbroker.broker.runs import Run, rewritten_runs
from amqpbroker.broker.segments import Segment
from amqpbroker.wire.content import Publication
from tests.broker.durable import sequences

if TYPE_CHECKING:
    from collections.abc import Sequence

PUBLICATION = Publication("é", "key", raw_properties=b"\x10\0\x02", properties={}, body_size=1)


def staged(count: int, *queue_ids: int, first: int = 1) -> Run:
    """Return a row of messages that is staged; each body is a digit of its number."""
    run = Run(first, queue_ids, 77)
    run.messages = [
        Message(PUBLICATION, b"%d" % (n % 10), run, n) for n in range(first, first + count)
    ]
    run.alive = dict.fromkeys(queue_ids, count)
    return run


def written(run: Run) -> list[tuple[tuple[int, ...], list[int]]]:
    return [(record.queue_ids, sequences(record)) for record in run.records()]


def settle(run: Run, queue_id: int, *numbers: int) -> None:
    for number in numbers:
        run.settle_staged(queue_id, number)


def test_a_row_is_one_record() -> None:
    (record,) = staged(3, 1, 2).records()
    assert record == (
        1, 3, (1, 2), "é".encode(), b"key", b"\x10\0\x02", 1, b"123", 77, False,
    )  # fmt: skip


def test_what_was_settled_in_the_middle_splits_it() -> None:
    run = staged(5, 1)
    settle(run, 1, 3)
    assert written(run) == [((1,), [1, 2]), ((1,), [4, 5])]
    assert run.alive == {1: 4}


def test_each_record_names_the_queues_that_still_have_its_messages() -> None:
    run = staged(4, 1, 2)
    settle(run, 1, 1, 2)
    settle(run, 2, 2)
    assert written(run) == [((2,), [1]), ((1, 2), [3, 4])]


def test_what_all_queues_have_settled_is_not_written() -> None:
    run = staged(2, 1, 2)
    for queue_id in (1, 2):
        settle(run, queue_id, 1, 2)
    assert written(run) == []


@given(st.sets(st.tuples(st.sampled_from([1, 2, 3]), st.integers(1, 6))))
def test_everything_alive_is_written_once(gone: set[tuple[int, int]]) -> None:
    run = staged(6, 1, 2, 3)
    for queue_id, number in gone:
        run.settle_staged(queue_id, number)
    found = [
        (queue_id, number)
        for record in run.records()
        for queue_id in record.queue_ids
        for number in sequences(record)
        if record.body(number) == b"%d" % number
    ]
    everything = {(queue_id, number) for queue_id in (1, 2, 3) for number in range(1, 7)}
    assert sorted(found) == sorted(everything - gone)


# survivors


def in_segment(run: Run, segment: Segment) -> Sequence[Message]:
    """Have a row written; return its messages."""
    messages = run.messages
    assert messages is not None
    run.messages, run.segment = None, segment
    return messages


def test_survivors_of_a_row_are_one_row_again() -> None:
    segment = Segment(0)
    messages = in_segment(staged(5, 1, 2), segment)
    found = [(1, messages[4]), (1, messages[1]), (2, messages[1]), (2, messages[2])]
    (run,) = rewritten_runs((segment,), found)
    assert (run.rewrites, run.timestamp_ms, run.alive) == (segment, 77, {1: 2, 2: 2})
    assert written(run) == [((1, 2), [2]), ((2,), [3]), ((1,), [5])]
    assert {message.run for _, message in found} == {run}


def test_rows_stay_apart_and_others_are_left_alone() -> None:
    segment, other = Segment(0), Segment(9)
    first = in_segment(staged(2, 1), segment)
    second = in_segment(staged(2, 1, first=3), segment)
    elsewhere = in_segment(staged(1, 1, first=5), other)
    waiting = staged(1, 1, first=6).messages
    assert waiting is not None
    transient = Message(PUBLICATION, b"t")
    found = [(1, item) for item in (*first, *second, *elsewhere, *waiting, transient)]
    assert [written(run) for run in rewritten_runs((segment,), found)] == [
        [((1,), [1, 2])],
        [((1,), [3, 4])],
    ]
    assert isinstance(elsewhere[0].run, Run)
    assert elsewhere[0].run.rewrites is None


def test_copies_that_queues_have_of_a_message_all_go_with_it() -> None:
    segment = Segment(0)
    (message,) = in_segment(staged(1, 1, 2), segment)
    copy = Message(PUBLICATION, message.body, message.run, message.sequence)
    (run,) = rewritten_runs((segment,), [(1, message), (2, copy)])
    assert message.run is copy.run is run
    assert written(run) == [((1, 2), [1])]


def test_segments_come_in_turn_and_what_is_not_asked_for_stays() -> None:
    first, second = Segment(0), Segment(9)
    late = in_segment(staged(1, 1, first=3), second)
    early = in_segment(staged(2, 1), first)
    found = [(1, item) for item in (*late, *early)]
    run = next(rewritten_runs((first, second), found))
    assert (run.rewrites, run.size) == (first, 2)
    assert late[0].run is not None
    assert late[0].run.segment is second


def test_a_survivor_may_be_settled_while_it_is_staged() -> None:
    segment = Segment(0)
    messages = in_segment(staged(3, 1), segment)
    (run,) = rewritten_runs((segment,), [(1, message) for message in messages])
    settle(run, 1, 2)
    assert run.alive == {1: 2}
    assert written(run) == [((1,), [1]), ((1,), [3])]
