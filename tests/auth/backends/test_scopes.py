"""Scopes as permissions (FEATURES A15.6)."""

from __future__ import annotations

import re
from fnmatch import translate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.auth.backends.scopes import Scope, Scopes, matches, parse_scope


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("read:*/q", Scope("read", "*", "q")),
        ("write:v/x/a.*", Scope("write", "v", "x", "a.*")),
        ("configure:%2F/q", Scope("configure", "%2F", "q")),
        ("tag:administrator", None),
        ("read:q", None),
        ("read:v/x/k/more", None),
        ("delete:*/*", None),
        ("read", None),
        ("", None),
    ],
)
def test_a_scope_has_two_or_three_parts(text: str, scope: Scope | None) -> None:
    assert parse_scope(text) == scope


@pytest.mark.parametrize(
    ("pattern", "subject", "is_match"),
    [
        ("*", "", True),
        ("*", "anything/at all", True),
        ("", "", True),
        ("", "a", False),
        ("a", "a", True),
        ("a", "ab", False),
        ("a*", "a", True),
        ("*b", "abb", True),
        ("a*b*c", "a-b-b-c", True),
        ("a*b*c", "ac", False),
        ("ab*ba", "aba", False),
        ("%2F", "/", True),
        ("%2A", "*", True),
        ("%2A", "a", False),
        ("a+b", "a b", True),
        ("%zz*", "%zz", False),
        ("q.[1]", "q.[1]", True),
    ],
)
def test_an_asterisk_is_anything_and_all_else_is_itself(
    pattern: str, subject: str, is_match: bool
) -> None:
    assert matches(pattern, subject) is is_match


@given(
    st.text("ab*", max_size=12),
    st.text("ab", max_size=12),
)
def test_patterns_are_those_of_a_shell(pattern: str, subject: str) -> None:
    assert matches(pattern, subject) == (re.match(translate(pattern), subject) is not None)


def scopes(*texts: str, **claims: object) -> Scopes:
    return Scopes(texts, claims)


def test_a_vhost_opens_by_any_scope_about_it() -> None:
    granted = scopes("read:one/none", "tag:management")
    assert granted.may_enter("one")
    assert not granted.may_enter("two")
    assert granted.tags == ("management",)


def test_each_permission_counts_for_itself() -> None:
    granted = scopes("read:v/q*", "write:v/x")
    assert granted.may_use("v", "q1", "read")
    assert not granted.may_use("v", "q1", "write")
    assert not granted.may_use("w", "q1", "read")
    assert not granted.may_use("v", "q1", "configure")


def test_a_topic_needs_a_scope_with_a_routing_key() -> None:
    # As RabbitMQ: two parts say nothing about topics.
    assert not scopes("write:*/*").may_use_topic("v", "x", "a", "write")
    granted = scopes("write:v/x/a.*")
    assert granted.may_use_topic("v", "x", "a.b", "write")
    assert not granted.may_use_topic("v", "x", "b", "write")
    assert not granted.may_use_topic("v", "x", "a.b", "read")
    assert granted.may_use("v", "x", "write")


def test_variables_stand_for_the_vhost_and_for_claims() -> None:
    granted = scopes("read:{vhost}/{sub}-*", sub="ann")
    assert granted.may_use("/", "ann-1", "read")
    assert not granted.may_use("/", "bob-1", "read")
    assert scopes("read:*/{nobody}").may_use("/", "nobody", "read")


def test_a_value_is_no_pattern() -> None:
    granted = scopes("read:*/{sub}", sub="*")
    assert granted.may_use("/", "*", "read")
    assert not granted.may_use("/", "other", "read")
    assert not scopes("read:*/{sub}", sub="a/b").may_use_topic("v", "a", "b", "read")


@given(st.lists(st.text(max_size=30), max_size=5))
def test_any_scopes_can_be_read(texts: list[str]) -> None:
    granted = scopes(*texts)
    assert granted.may_enter("v") in (True, False)
