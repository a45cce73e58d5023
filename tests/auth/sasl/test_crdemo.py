"""RABBIT-CR-DEMO: a name, a question, an answer."""

from __future__ import annotations

import pytest

from amqpbroker.auth.sasl.crdemo import CrDemo
from amqpbroker.auth.sasl.mechanism import Challenge
from amqpbroker.errors import HardError


def test_the_password_is_asked_for_and_returned() -> None:
    demo = CrDemo()
    assert demo.step(b"bob") == Challenge(b"Please tell me your password")
    assert demo.step(b"My password is secret") == ("bob", b"secret")


def test_an_empty_name_is_a_name() -> None:
    demo = CrDemo()
    demo.step(b"")
    assert demo.step(b"My password is x") == ("", b"x")


def test_another_answer_is_a_syntax_error_that_does_not_repeat_it() -> None:
    demo = CrDemo()
    demo.step(b"bob")
    with pytest.raises(HardError, match="502") as caught:
        demo.step(b"secret")
    assert "secret" not in str(caught.value)
