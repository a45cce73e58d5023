"""EXTERNAL (RFC 4422): the name in the client's TLS certificate (FEATURES A15.3).

Offered only to a peer whose certificate TLS has verified. The user must exist and needs no
password.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqpbroker.auth.exceptions import AuthenticationFailed
from amqpbroker.auth.sasl.mechanism import Identity

if TYPE_CHECKING:
    from amqpbroker.auth.sasl.mechanism import CertificateNames, Context, SaslSettings


def is_offered(context: Context) -> bool:
    """Return whether there is a certificate to read."""
    return context.peer.certificate is not None


def name_in_certificate(names: CertificateNames, settings: SaslSettings) -> str | None:
    """Return the name that ``ssl_cert_login_from`` points at, or None."""
    match settings.ssl_cert_login_from:
        case "distinguished_name":
            return names.distinguished_name
        case "common_name":
            return names.common_name
        case "subject_alternative_name":
            kind, index = settings.ssl_cert_login_san_type, settings.ssl_cert_login_san_index
            of_kind = [value for san_kind, value in names.sans if san_kind == kind]
            return of_kind[index] if index < len(of_kind) else None


class External:
    """The response is ignored, as on RabbitMQ: the certificate alone says who it is."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def step(self, response: bytes) -> Identity:
        """Return the certificate's name.

        :raises AuthenticationFailed: the certificate has no such name.
        """
        names = self._context.peer.certificate
        name = name_in_certificate(names, self._context.settings) if names else None
        if not name:
            raise AuthenticationFailed("", "no name to log in with in the peer's certificate")
        return Identity(name)
