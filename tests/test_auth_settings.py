"""The settings of logging in."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from amqpbroker.auth_settings import AuthSettings
from amqpbroker.rabbitmq_conf import read


def test_nobody_is_anonymous_unless_told() -> None:
    # A15.4: off by default, as in a RabbitMQ that is set up for production
    assert AuthSettings().anonymous_login_user is None
    assert AuthSettings(anonymous_login_user="ann").anonymous_login_user == "ann"


def test_both_names_of_the_alternative_name() -> None:
    # A15.3; RabbitMQ's schema has both
    for name in ("subject_alternative_name", "subject_alt_name"):
        settings = AuthSettings.model_validate({"ssl_cert_login_from": name})
        assert settings.ssl_cert_login_from == "subject_alternative_name"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ssl_cert_login_from", "serial_number"),
        ("ssl_cert_login_san_type", "other_name"),
        ("ssl_cert_login_san_index", -1),
    ],
)
def test_what_cannot_be_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        AuthSettings.model_validate({field: value})


def test_rabbitmq_conf_has_the_same_keys() -> None:
    text = """
        anonymous_login_user = none
        ssl_cert_login_from = subject_alt_name
        ssl_cert_login_san_type = email
        ssl_cert_login_san_index = 1
    """
    settings = AuthSettings.model_validate(read(text, "rabbitmq.conf").values)
    assert settings.anonymous_login_user is None
    assert settings.ssl_cert_login_from == "subject_alternative_name"
    assert (settings.ssl_cert_login_san_type, settings.ssl_cert_login_san_index) == ("email", 1)


def test_a_validator_needs_what_it_looks_for() -> None:
    # A15.14
    regexp = "rabbit_credential_validator_password_regexp"
    with pytest.raises(ValidationError, match="needs credential_validator_regexp"):
        AuthSettings.model_validate({"credential_validator": regexp})
    with pytest.raises(ValidationError, match="credential_validator_regexp: missing"):
        AuthSettings.model_validate(
            {"credential_validator": regexp, "credential_validator_regexp": "("}
        )
    lines = f"""
        credential_validator.validation_backend = {regexp}
        credential_validator.min_length = 8
        credential_validator.regexp = ^[a-z]+$
    """
    settings = AuthSettings.model_validate(read(lines, "rabbitmq.conf").values)
    assert settings.credential_validator == regexp
    assert settings.credential_validator_min_length == 8
    assert settings.credential_validator_regexp == "^[a-z]+$"
