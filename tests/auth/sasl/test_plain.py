"""PLAIN: NUL user NUL password and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.auth.sasl.mechanism import Credentials
from amqpbroker.auth.sasl.plain import Plain
from amqpbroker.errors import HardError

text = st.binary().filter(lambda data: b"\0" not in data)


@given(username=text, password=text)
def test_name_and_password_come_out_as_they_went_in(username: bytes, password: bytes) -> None:
    step = Plain().step(b"\0" + username + b"\0" + password)
    assert step.username.encode("utf-8", "surrogateescape") == username
    assert step.password == password


@pytest.mark.parametrize(
    "response",
    [b"", b"\0", b"abc", b"\0guest", b"guest\0guest", b"id\0guest\0guest", b"\0guest\0guest\0"],
)
def test_anything_else_is_a_syntax_error(response: bytes) -> None:
    with pytest.raises(HardError) as caught:
        Plain().step(response)
    assert caught.value.reply_code == 502


def test_the_error_does_not_repeat_the_password() -> None:
    with pytest.raises(HardError) as caught:
        Plain().step(b"guest\0secret")
    assert "secret" not in str(caught.value)


def test_credentials_print_without_the_password() -> None:
    assert repr(Credentials("bob", b"secret")) == "Credentials(username='bob')"
