"""What an error says."""

from __future__ import annotations

from amqpbroker.definitions.exceptions import SHOWN_SIZE_MAX, DefinitionsError, mismatch, shown


def test_the_path_comes_first() -> None:
    assert str(mismatch("queues[3].name", "text", 5)) == "queues[3].name: expected text, found 5"


def test_a_mistake_in_the_whole_has_no_path() -> None:
    assert str(DefinitionsError("", "expected JSON")) == "expected JSON"


def test_it_is_one_line() -> None:
    assert str(DefinitionsError("queues[0].arguments.a\nb", "no\r\n")) == (
        "queues[0].arguments.a b: no"
    )


def test_long_values_are_cut_and_stay_on_one_line() -> None:
    assert len(shown("x\n" * 100)) == SHOWN_SIZE_MAX + 1
    assert "\n" not in shown("a\nb")
