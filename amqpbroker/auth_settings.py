"""The settings of logging in, named as in rabbitmq.conf where that has them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode

from amqpbroker.setting_types import OptionalName, split_words

Mechanisms = Annotated[
    tuple[
        Literal["PLAIN", "AMQPLAIN", "EXTERNAL", "ANONYMOUS", "SCRAM-SHA-256", "SCRAM-SHA-512"],
        ...,
    ],
    NoDecode,
    BeforeValidator(split_words),
    Field(min_length=1),
]
"""SASL mechanisms in the order in which they are offered."""


def _long_name(value: object) -> object:
    return "subject_alternative_name" if value == "subject_alt_name" else value


class AuthSettings(BaseSettings):
    """What ``Config`` says of logging in."""

    auth_mechanisms: Mechanisms = ("PLAIN", "AMQPLAIN")
    """With one of SCRAM a new password leaves keys for it too (docs/authentication.md)."""
    anonymous_login_user: OptionalName = None
    """Whom ANONYMOUS logs in as; None: it is not offered (FEATURES A15.4)."""

    # Where in a client's certificate EXTERNAL finds the name (FEATURES A15.3)
    ssl_cert_login_from: Annotated[
        Literal["distinguished_name", "common_name", "subject_alternative_name"],
        BeforeValidator(_long_name),
    ] = "distinguished_name"
    ssl_cert_login_san_type: Literal["dns", "ip", "email", "uri"] = "dns"
    ssl_cert_login_san_index: int = Field(default=0, ge=0)
