"""Differences are found, named and recognised when intended."""

from __future__ import annotations

import pytest

from interop.differential.compare import Difference, differences, generalise, refine
from interop.differential.deviations import find_deviation
from interop.differential.program import Op, Program, Step
from interop.differential.run import Transcript

STEP = Step(0, 1, (Op("queue.declare", {"queue": "@q0", "arguments": [["x-expires", "I", 1]]}),))
PROGRAM = Program("declare", (STEP, STEP))


def difference(oracle: str, subject: str) -> Difference:
    return Difference(0, STEP, (oracle,), (subject,))


def test_equal_transcripts_do_not_differ() -> None:
    same = Transcript([["a"], ["b"]])
    assert list(differences(PROGRAM, same, same)) == []


def test_a_transcript_that_ends_early_differs() -> None:
    found = list(differences(PROGRAM, Transcript([["a"], ["b"]]), Transcript([["a"]])))
    assert [each.step_index for each in found] == [1]


def test_names_and_numbers_do_not_count_in_a_signature() -> None:
    one = difference("queue ~q0: ready=1 consumers=0", "queue ~q0: ready=2 consumers=0")
    two = difference("queue ~q3: ready=4 consumers=1", "queue ~q3: ready=0 consumers=1")
    assert one.signature == two.signature


def test_reply_codes_and_words_count_in_a_signature() -> None:
    line = "c0.1 channel.close reply_code=404 reply_text='NOT_FOUND - no queue '~q' in vhost'"
    assert "reply_code=404" in generalise(line)
    assert "no queue" in generalise(line)


def test_a_line_too_many_is_told_by_its_side() -> None:
    found = Difference(0, STEP, ("a",), ("a", "c0.1 acked [1]"))
    assert found.signature == "queue.declare: subject adds acked [N]"


def test_a_refined_signature_names_the_arguments_needed() -> None:
    assert "x-expires" in refine(PROGRAM, difference("a", "b"))


DEATH = "c0.1 basic.deliver properties(headers={x-death:[{%s}]%s}) body()"
CLOSE = "c0.1 channel.close reply_code=406 reply_text='PRECONDITION_FAILED - %s' class_id=40"
CONNECTION_CLOSE = "c0.0 connection.close reply_code=%d reply_text='%s' class_id=0"


@pytest.mark.parametrize(
    ("oracle", "subject"),
    [
        (
            CONNECTION_CLOSE % (503, "COMMAND_INVALID - unknown exchange type 'x'"),
            CLOSE % "unknown exchange type 'x'",
        ),
        (
            DEATH % ("count:l:1, queue:S:'q', original-expiration:S:'9'", ""),
            DEATH
            % ("original-expiration:S:'9', count:l:1, queue:S:'q'", ", x-last-death-queue:S:'q'"),
        ),
        (CLOSE % "invalid message: {delivery_mode_unknown,3}", "queue ~q0: ready=1 consumers=0"),
        (
            CONNECTION_CLOSE % (541, "INTERNAL_ERROR"),
            "c0.1 queue.declare-ok queue='$reply0' message_count=0 consumer_count=1",
        ),
        ("c0.0 end-of-file", CONNECTION_CLOSE % (530, "NOT_ALLOWED - too high")),
        (CONNECTION_CLOSE % (541, "INTERNAL_ERROR"), CLOSE % "invalid arg 'x-queue-type'"),
        (CONNECTION_CLOSE % (541, "INTERNAL_ERROR"), CONNECTION_CLOSE % (501, "FRAME_ERROR - x")),
        ("queue ~qq0: ready=1 consumers=1", "queue ~qq0: ready=1 consumers=0"),
    ],
)
def test_an_intended_difference_is_recognised(oracle: str, subject: str) -> None:
    assert find_deviation(difference(oracle, subject)) is not None


@pytest.mark.parametrize(
    ("oracle", "subject"),
    [
        ("queue ~q0: ready=1 consumers=0", "queue ~q0: ready=2 consumers=0"),
        ("queue ~q0: ready=1 consumers=1", "queue ~q0: ready=1 consumers=0"),
        ("queue ~qq0: ready=1 consumers=0", "queue ~qq0: ready=1 consumers=1"),
        ("queue ~qq0: ready=1 consumers=1", "queue ~qq0: ready=2 consumers=0"),
        (CLOSE % "no", CONNECTION_CLOSE % (541, "INTERNAL_ERROR")),
        (CONNECTION_CLOSE % (501, "FRAME_ERROR - x"), "c0.0 end-of-file"),
        (
            DEATH % ("count:l:1", ""),
            DEATH % ("count:l:2", ", x-last-death-queue:S:'q'"),
        ),
    ],
)
def test_other_differences_are_not(oracle: str, subject: str) -> None:
    assert find_deviation(difference(oracle, subject)) is None


DELIVER = (
    "c0.2 basic.deliver consumer_tag='%s' delivery_tag=5 redelivered=%s exchange='' "
    "routing_key='~q0' properties() body(id=%d)"
)
REQUEUE = Op("settle", {"method": "basic.nack", "requeue": True})
DROP = Op("settle", {"method": "basic.nack", "requeue": False})
ACK = Op("settle", {"method": "basic.ack", "requeue": True})


@pytest.mark.parametrize(
    ("ops", "subject", "is_intended"),
    [
        ((REQUEUE, ACK), ("t1", True, 1), True),
        ((DROP, REQUEUE, ACK), ("t1", True, 1), True),
        ((ACK, REQUEUE), ("t1", True, 1), False),
        ((REQUEUE, DROP), ("t1", True, 1), False),
        ((DROP, ACK), ("t1", True, 1), False),
        ((REQUEUE,), ("t1", True, 1), False),
        ((REQUEUE, ACK), ("t1", True, 2), False),
        ((REQUEUE, ACK), ("t1", False, 1), False),
    ],
)
def test_only_acks_behind_a_requeue_overtake_it(
    ops: tuple[Op, ...], subject: tuple[str, bool, int], is_intended: bool
) -> None:
    oracle = DELIVER % ("t2", subject[1], 1)
    found = find_deviation(Difference(0, Step(0, 2, ops), (oracle,), (DELIVER % subject,)))
    assert (found is not None) == is_intended


EXPIRED = DELIVER + " x-death:[{reason:S:'expired'}]"


@pytest.mark.parametrize(
    ("left", "right", "is_intended"),
    [
        (EXPIRED % ("t1", False, 2), EXPIRED % ("t2", False, 1), True),
        (EXPIRED % ("t1", False, 2), EXPIRED % ("t2", False, 3), False),
        (EXPIRED % ("t1", False, 2), DELIVER % ("t2", False, 1), False),
    ],
)
def test_what_expires_may_go_to_others(left: str, right: str, is_intended: bool) -> None:
    oracle = (EXPIRED % ("t2", False, 2), EXPIRED % ("t1", False, 1))
    found = find_deviation(Difference(0, STEP, oracle, (left, right)))
    assert (found is not None) == is_intended


GET = Op("basic.get", {"queue": "@q1", "no_ack": False})
LIMIT = Op("basic.qos", {"prefetch_count": 1, "global": True})


@pytest.mark.parametrize(
    ("earlier", "left", "is_intended"),
    [
        ((Step(0, 2, (GET,)), Step(0, 2, (LIMIT,))), 1, True),
        ((Step(0, 2, (GET,)), Step(0, 2, (LIMIT,))), 2, False),
        ((Step(0, 1, (GET,)), Step(0, 2, (LIMIT,))), 1, False),
        ((Step(0, 2, (GET,)),), 1, False),
        ((Step(0, 2, (LIMIT,)),), 1, False),
    ],
)
def test_gets_under_a_prefetch_explain_a_delivery_more(
    earlier: tuple[Step, ...], left: int, is_intended: bool
) -> None:
    oracle = (f"queue ~q0: ready={left} consumers=1",)
    subject = (DELIVER % ("t1", False, 1), "queue ~q0: ready=0 consumers=1")
    found = find_deviation(Difference(2, STEP, oracle, subject, earlier))
    assert (found is not None) == is_intended


@pytest.mark.parametrize(
    ("rest_ms", "count", "is_intended"), [(45, 1, True), (45, 3, False), (0, 1, False)]
)
def test_fewer_messages_are_intended_only_after_a_rest(
    rest_ms: int, count: int, is_intended: bool
) -> None:
    step = Step(0, 1, (Op("publish"),), rest_ms=rest_ms)
    held, left = "queue ~q0: ready=2 consumers=0", f"queue ~q0: ready={count} consumers=0"
    found = find_deviation(Difference(0, step, (held,), (left,)))
    assert (found is not None) == is_intended
