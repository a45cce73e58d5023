"""What patterns may cost, and what they do."""

from __future__ import annotations

import re

import pytest

from amqpbroker.auth.exceptions import InvalidRegexp
from amqpbroker.auth.regexp_costs import COST_MAX, NAME_SIZE_MAX, is_cheap


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        ".*",
        "^orders\\.",
        "^(?!amq\\.).*",
        "amq\\..*|foo.*|bar",
        "a.*b",
        "^a.*b.*c",
        "^(?:a|b)*$",
        "^(eu|us)\\.[a-z]+$",
        "colou?r",
        "[a-z]{1,300}",
        "(?>a+)b",
        "^(a)?(?(1)b|c)$",
    ],
)
def test_what_people_write_is_cheap(pattern: str) -> None:
    assert is_cheap(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$",
        "^(a+)+$",
        "^(a|a)*$",
        "^(a|ab)*$",
        "(a*)*",
        "(x+x+)+y",
        "a?" * 30 + "a" * 30,
        "((a{0,9}){0,9}){0,9}",
        "^(?=(a+)+b)",
        "^(?:(?:a|ab)){4000000}",
        "^a.*b.*c.*d",
        "(" * 150 + "a+" + ")" * 150 + "+",
    ],
)
def test_what_could_take_long_is_not(pattern: str) -> None:
    assert not is_cheap(pattern)


def test_what_does_not_compile_is_told() -> None:
    with pytest.raises(InvalidRegexp):
        is_cheap("(")


@pytest.mark.parametrize("pattern", ["a.*b", "^a*a*b", "a*b", "^a*b.*c"])
def test_the_bound_holds_for_the_worst_names(pattern: str) -> None:
    # A step of Python's matcher takes 10 ns or so: this would not end if the bound were none.
    assert is_cheap(pattern)
    for _ in range(3):
        assert re.search(pattern, "a" * (NAME_SIZE_MAX - 1)) is None
    assert COST_MAX < 10**6
