"""What a refused login tells the client, and what it does not."""

from __future__ import annotations

from amqpbroker.auth.exceptions import AuthenticationFailed, InvalidRegexp, login_refused


def test_the_client_learns_the_mechanism_and_nothing_else() -> None:
    assert login_refused("PLAIN").reply_text == (
        "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. "
        "For details see the broker logfile."
    )


def test_a_failed_login_reads_as_its_reason() -> None:
    failure = AuthenticationFailed("bob", "user 'bob' - invalid credentials")
    assert str(failure) == "user 'bob' - invalid credentials"
    assert failure.username == "bob"


def test_an_invalid_regexp_names_pattern_and_reason() -> None:
    assert str(InvalidRegexp("(", "missing )")) == "invalid regexp '(': missing )"
