r"""Patterns of permissions mean what they mean to RabbitMQ."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.auth.exceptions import InvalidRegexp
from amqpbroker.auth.regexps import REGEXP_SIZE_MAX, compile_regexp, escape, matches, translate


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        (".*", "anything", True),
        (".*", "", True),
        ("", "", True),
        ("", "q", False),
        ("b", "abc", True),
        ("^b", "abc", False),
        ("^(amq\\.gen.*|amq\\.default)$", "amq.default", True),
        ("^q$", "q\n", True),
        ("^q\\z", "q\n", False),
        ("^q\\Z", "q\n", True),
        ("^.$", "é", False),
        ("^..$", "é", True),
        ("^é", "éa", True),
        ("^\\w+$", "é", False),
        ("(?i)^Q$", "q", True),
        ("^(?<x>a)\\1$", "aa", True),
        ("^(?<=a)b|(?<!x)c", "c", True),
        ("^\\Qa.b\\E$", "a.b", True),
        ("^\\Qa.b\\E$", "axb", False),
        ("^\\Qa.b", "a.bc", True),
        ("^[[:alpha:]]+$", "abcXYZ", True),
        ("^[[:alpha:]]+$", "ab1", False),
        ("^[[:digit:][:upper:]_]+$", "A_1", True),
        ("^[]a]+$", "]a]", True),
        ("^[^]a]+$", "b", True),
        ("^[[a]+$", "[a", True),
        ("^[a&&b]+$", "a&b", True),
        ("^[a||b]+$", "|", True),
        ("^[+--]+$", "+,-", True),
        ("^[x~~~]+$", "~x", True),
        ("^[---]+$", "-", True),
        ("^[--0]+$", "-./0", True),
        ("^[a\\]b]+$", "a]b", True),
        ("^[\\h]$", "\t", True),
        ("^a\\hb$", "a b", True),
        ("^a{,2}$", "aa", False),
        ("^a{,2}$", "a{,2}", True),
        ("\\\\Q", "\\Q", True),
        ("^\\N\\H\\E$", "ab", True),
        ("^\\H$", "\t", False),
        ("^[a\\E]$", "a", True),
        ("^[:a]+$", "a:", True),
        ("^[.&&[:digit:]]+$", "1.&", True),
        ("^[[:^alpha:]]$", "1", False),
    ],
)
def test_patterns_mean_what_pcre_says(pattern: str, name: str, expected: bool) -> None:
    assert matches(pattern, name) is expected


@pytest.mark.parametrize(
    "pattern",
    ["(", "[", "a{2,1}", "(?R)", "a\\K", "[[:no:]]", "[[=a=]]", "[:alpha:]", "x" * 1025, "*"],
)
def test_a_bad_pattern_raises_when_set_and_denies_when_asked(pattern: str) -> None:
    with pytest.raises(InvalidRegexp):
        compile_regexp(pattern)
    assert not matches(pattern, "x")


def test_the_longest_pattern_is_fine() -> None:
    assert matches("x" * REGEXP_SIZE_MAX, "x" * REGEXP_SIZE_MAX)


def test_a_compiled_pattern_is_kept() -> None:
    assert compile_regexp("^kept$") is compile_regexp("^kept$")


def test_names_that_are_no_utf8_can_be_matched() -> None:
    assert matches("^\\xff$", b"\xff".decode("utf-8", "surrogateescape"))


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_pattern_raises(pattern: str, name: str) -> None:
    assert matches(pattern, name) in (True, False)


@given(st.text(alphabet="ab[]()\\QE:-&|~^$.*+?{,}1alph<>zZ", max_size=20))
def test_no_syntax_raises(pattern: str) -> None:
    assert matches(pattern, "") in (True, False)


def test_a_pattern_that_needs_no_translation_stays_as_it_is() -> None:
    assert translate(r"^(amq\.gen|x{1,3})[a-z_]+$") == r"^(amq\.gen|x{1,3})[a-z_]+$"


@given(st.text(max_size=40), st.text(max_size=40))
def test_an_escaped_text_matches_itself_alone(text: str, other: str) -> None:
    pattern = f"^{escape(text)}\\z"
    assert matches(pattern, text)
    assert matches(pattern, other) == (text == other)
