"""The settings of TLS, named after RabbitMQ's ``ssl_options`` (FEATURES A16.2)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, FilePath, model_validator
from pydantic_settings import BaseSettings, NoDecode

from amqpbroker.setting_types import OptionalPort, split_words


def _spelled(value: object) -> object:
    """Return versions as they are written here; RabbitMQ writes ``tlsv1.3``."""
    words = split_words(value)
    if not isinstance(words, list):
        return words
    return [word.replace("tlsv", "TLSv") if isinstance(word, str) else word for word in words]


def _joined(value: object) -> object:
    return ":".join(map(str, value)) if isinstance(value, list) else value


Versions = Annotated[
    tuple[Literal["TLSv1.2", "TLSv1.3"], ...],
    NoDecode,
    BeforeValidator(_spelled),
    Field(min_length=1),
]
"""Versions of TLS that are spoken."""


class TlsSettings(BaseSettings):
    """What ``Config`` says of TLS."""

    tls_port: OptionalPort = None
    management_tls_port: OptionalPort = None
    """The HTTP API over TLS, with the same certificate (15671 is the usual port)."""
    tls_cert: FilePath | None = None
    tls_key: FilePath | None = None
    tls_key_password: str | None = Field(default=None, repr=False)
    """Of an encrypted key."""
    tls_ca: FilePath | None = None
    """Who vouches for certificates of clients; without it none is asked for."""
    tls_requires_client_cert: bool = False
    tls_verify_depth: Annotated[int, Field(ge=0)] | None = None
    """Authorities that may stand between a client's certificate and one in ``tls_ca``."""
    tls_versions: Versions = ("TLSv1.2", "TLSv1.3")
    tls_ciphers: Annotated[str, BeforeValidator(_joined), Field(min_length=1)] | None = None
    """Of TLS 1.2, as OpenSSL lists them; those of 1.3 cannot be chosen."""

    @property
    def has_tls(self) -> bool:
        """Whether anybody listens with TLS."""
        return self.tls_port is not None or self.management_tls_port is not None

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        port = "tls_port" if self.tls_port is not None else "management_tls_port"
        if self.has_tls and (self.tls_cert is None or self.tls_key is None):
            raise ValueError(f"{port} needs tls_cert and tls_key")
        if not self.has_tls and self.tls_cert is not None:
            raise ValueError("tls_cert needs tls_port (5671 is the usual one)")
        if self.tls_requires_client_cert and self.tls_ca is None:
            raise ValueError("tls_requires_client_cert needs tls_ca")
        return self
