"""The settings of logging in, named as in rabbitmq.conf where that has them."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, FilePath, model_validator
from pydantic_settings import BaseSettings, NoDecode

from amqpbroker.setting_types import OptionalName, split_words

Mechanisms = Annotated[
    tuple[
        Literal[
            "PLAIN",
            "AMQPLAIN",
            "EXTERNAL",
            "ANONYMOUS",
            "SCRAM-SHA-256",
            "SCRAM-SHA-512",
            "GSSAPI",
        ],
        ...,
    ],
    NoDecode,
    BeforeValidator(split_words),
    Field(min_length=1),
]
"""SASL mechanisms in the order in which they are offered."""


Backends = Annotated[
    tuple[
        Annotated[str, Field(pattern=r"^(internal|oauth2|http)(/(internal|oauth2|http))?$")],
        ...,
    ],
    NoDecode,
    BeforeValidator(split_words),
    Field(min_length=1),
]
"""Backends in the order in which they are asked; ``one/other``: who it is / what they may do."""

Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_words)]
"""Names in an order; in text separated by commas."""

Url = Annotated[str, Field(pattern=r"^https?://[^/\s?#]+")]


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

    # Whose tickets GSSAPI takes (FEATURES A15.5, docs/kerberos.md)
    auth_gssapi_keytab: FilePath | None = None
    """Our keys; None: the keytab of the system."""
    auth_gssapi_service: str = Field(default="amqp", pattern=r"^[A-Za-z0-9_-]+$")
    """What tickets must be for, on whatever host: the part of our principal before the slash."""
    auth_gssapi_realms: Names = ()
    """Whose users may log in; none: only those of the realm of our own key."""

    # What new passwords must be like (FEATURES A15.14)
    credential_validator: Literal[
        "rabbit_credential_validator_accept_everything",
        "rabbit_credential_validator_min_password_length",
        "rabbit_credential_validator_password_regexp",
    ] = "rabbit_credential_validator_accept_everything"
    credential_validator_min_length: int = Field(default=5, ge=0)
    """Bytes."""
    credential_validator_regexp: str | None = None

    auth_backends: Backends = ("internal",)
    """Who is asked whether somebody may log in (FEATURES A15.7)."""
    auth_cache_ttl_s: float = Field(default=15.0, ge=1)
    """How long a service's permissions count without asking again."""
    auth_cache_count_max: int = Field(default=10_000, ge=100)

    # A service that decides (FEATURES A15.7): auth_http.* in rabbitmq.conf
    auth_http_method: Literal["get", "post"] = "get"
    auth_http_user_path: Url = "http://localhost:8000/auth/user"
    auth_http_vhost_path: Url = "http://localhost:8000/auth/vhost"
    auth_http_resource_path: Url = "http://localhost:8000/auth/resource"
    auth_http_topic_path: Url = "http://localhost:8000/auth/topic"
    auth_http_request_timeout_s: float = Field(default=5.0, gt=0)
    auth_http_connection_timeout_s: Annotated[float, Field(gt=0)] | None = None
    """None: the time of the whole request."""
    auth_http_cacertfile: FilePath | None = None
    auth_http_verify: bool = True

    # Tokens as passwords (FEATURES A15.6): auth_oauth2.* in rabbitmq.conf
    oauth2_resource_server_id: str = ""
    oauth2_scope_prefix: str | None = None
    """What scopes for this broker begin with; None: the id and a dot."""
    oauth2_verify_aud: bool = True
    oauth2_require_exp: bool = True
    oauth2_additional_scopes_key: str | None = None
    oauth2_scope_aliases: dict[str, str] = Field(default_factory=dict)
    oauth2_preferred_username_claims: Names = ()
    oauth2_jwks_url: Url | None = None
    oauth2_issuer: Url | None = None
    """Asked where its keys are, if no URL of them is set."""
    oauth2_jwks_file: FilePath | None = None
    oauth2_signing_keys: dict[str, FilePath] = Field(default_factory=dict)
    """Id → PEM file of a public key or a certificate."""
    oauth2_default_key: str | None = None
    oauth2_algorithms: Names = ()
    """Allowed ones; none: all that a key is good for."""
    oauth2_https_cacertfile: FilePath | None = None
    oauth2_https_verify: bool = True
    oauth2_timeout_s: float = Field(default=5.0, gt=0)

    @model_validator(mode="after")
    def _regexp_is_whole(self) -> Self:
        regexp = self.credential_validator_regexp
        if regexp is None and self.credential_validator.endswith("_password_regexp"):
            raise ValueError("credential_validator needs credential_validator_regexp")
        try:
            re.compile(regexp or "")
        except re.error as error:
            raise ValueError(f"credential_validator_regexp: {error}") from None
        return self
