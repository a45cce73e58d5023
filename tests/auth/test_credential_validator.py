"""What new passwords must be like (FEATURES A15.14)."""

from __future__ import annotations

import pytest

from amqpbroker.auth.credential_validator import MIN_LENGTH, REGEXP, CredentialValidator


@pytest.mark.parametrize("password", ["", "x", "correct horse"])
def test_everything_goes_unless_told(password: str) -> None:
    assert CredentialValidator().mistake(password) is None


def test_a_length_is_in_bytes() -> None:
    validator = CredentialValidator(MIN_LENGTH, 4)
    assert validator.mistake("abcd") is validator.mistake("\u00fc\u00fc") is None
    assert validator.mistake("abc") == "minimum required password length is 4"


def test_a_pattern_may_match_anywhere() -> None:
    validator = CredentialValidator(REGEXP, regexp="[0-9]")
    assert validator.mistake("abc1d") is None
    text = "provided password does not match the validator regular expression"
    assert validator.mistake("abcd") == text
