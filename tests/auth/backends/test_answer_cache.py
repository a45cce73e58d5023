"""What is remembered of a service's answers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.auth.backends.answer_cache import AnswerCache
from tests.broker.clock import Clock


def get(cache: AnswerCache, question: object) -> object:
    return cache.get(question, is_kept=lambda answer: answer is True)


def test_a_permission_is_kept_for_its_time() -> None:
    clock = Clock()
    cache = AnswerCache(15, 100, clock)
    assert get(cache, "q") is None
    cache.put("q", True)
    clock.now = 14.9
    assert get(cache, "q") is get(cache, "q") is True
    clock.now = 15
    assert get(cache, "q") is None
    assert len(cache) == 0


def test_a_refusal_is_given_once() -> None:
    cache = AnswerCache(15, 100, Clock())
    cache.put("q", False)
    assert get(cache, "q") is False
    assert get(cache, "q") is None


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans())))
def test_it_is_bounded_and_forgets_the_oldest(puts: list[tuple[int, bool]]) -> None:
    cache = AnswerCache(15, 3, Clock())
    order: dict[int, bool] = {}
    for question, answer in puts:
        cache.put(question, answer)
        order.pop(question, None)
        order[question] = answer
    kept = dict(list(order.items())[-3:])
    assert len(cache) == len(kept)
    assert {number: get(cache, number) for number in kept} == kept
