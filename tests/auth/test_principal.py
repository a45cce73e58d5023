"""Tags and what they include."""

from __future__ import annotations

import pytest

from amqpbroker.auth.principal import Principal, User, has_tag

MATRIX = {
    "administrator": {"administrator", "policymaker", "monitoring", "management"},
    "monitoring": {"monitoring", "management"},
    "policymaker": {"policymaker", "management"},
    "management": {"management"},
    "impersonator": {"impersonator"},
    "other": {"other"},
}


@pytest.mark.parametrize("held", MATRIX)
@pytest.mark.parametrize("asked", MATRIX)
def test_tags_include_others(held: str, asked: str) -> None:
    assert has_tag((held,), asked) == (asked in MATRIX[held])


def test_no_tags_include_nothing() -> None:
    assert not has_tag((), "management")


def test_only_the_tag_itself_makes_an_impersonator() -> None:
    assert Principal("bob", ("x", "impersonator")).is_impersonator
    assert not Principal("bob", ("administrator",)).is_impersonator


def test_a_user_prints_without_its_secrets() -> None:
    user = User("bob", "HASH", "sha", scram_keys=("KEYS",))
    assert "HASH" not in repr(user)
    assert "KEYS" not in repr(user)
