"""Questions that are asked elsewhere."""

from __future__ import annotations

import pytest

from amqpbroker.auth.backends.backend import QUESTION_COUNT_MAX, BackendFailed, Unanswered, answered


async def test_a_question_is_asked_until_it_has_its_answers() -> None:
    known: list[str] = []

    def question() -> list[str]:
        if len(known) < 3:

            async def ask() -> None:
                known.append("x")

            raise Unanswered(ask)
        return known

    assert await answered(question) == ["x", "x", "x"]


async def test_what_is_known_is_not_asked() -> None:
    assert await answered(lambda: True)


async def test_questions_come_to_an_end() -> None:
    asked = 0

    async def ask() -> None:
        nonlocal asked
        asked += 1

    def question() -> bool:
        raise Unanswered(ask)

    with pytest.raises(BackendFailed, match="too many questions"):
        await answered(question)
    assert asked == QUESTION_COUNT_MAX


def test_a_failure_names_the_backend() -> None:
    text = "backend rabbit_auth_backend_x returned an error: it is down"
    assert str(BackendFailed("rabbit_auth_backend_x", "it is down")) == text
