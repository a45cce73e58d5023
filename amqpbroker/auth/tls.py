"""TLS: the server's context, and what a client's certificate says (FEATURES A16.2)."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from anyio.streams.tls import TLSAttribute

from amqpbroker.auth.certificates import names_in_certificate

if TYPE_CHECKING:
    from pathlib import Path

    from anyio import TypedAttributeProvider

    from amqpbroker.auth.sasl.mechanism import CertificateNames


def server_context(cert: Path | None, key: Path | None, ca: Path | None) -> ssl.SSLContext:
    """Return a context for TLS 1.2 and 1.3; with a CA, client certificates are asked for.

    They are verified if they come, not required. Raises :class:`ssl.SSLError` and
    :class:`OSError` for files that cannot be used.
    """
    assert cert is not None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert, key)
    if ca is not None:
        context.load_verify_locations(ca)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def client_certificate(stream: TypedAttributeProvider) -> CertificateNames | None:
    """Return the names in the client's verified certificate, None if it has shown none."""
    certificate: bytes | None = stream.extra(TLSAttribute.peer_certificate_binary, None)
    return names_in_certificate(certificate) if certificate else None
