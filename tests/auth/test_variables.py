"""Variables in patterns."""

from __future__ import annotations

from amqpbroker.auth.variables import expand_variables


def test_a_value_is_no_pattern_and_no_variable() -> None:
    values = {"username": "{vhost}.*", "vhost": "v"}
    assert expand_variables("^{username}$", values) == r"^\{vhost\}\.\*$"


def test_repetitions_are_no_variables() -> None:
    assert expand_variables("^a{2}b{1,3}$", {"username": "u"}) == "^a{2}b{1,3}$"
