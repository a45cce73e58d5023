"""TLS: the server's context, and what a client's certificate says (FEATURES A16.2)."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from anyio.streams.tls import TLSAttribute

from amqpbroker.auth.certificates import names_in_certificate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anyio import TypedAttributeProvider

    from amqpbroker.auth.sasl.mechanism import CertificateNames

VERSIONS: Final = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}


class TlsOptions(NamedTuple):
    """What may be chosen about TLS, beside the files."""

    versions: Sequence[str] = tuple(VERSIONS)
    ciphers: str | None = None
    """Of TLS 1.2, as OpenSSL lists them."""
    requires_certificate: bool = False
    key_password: str | None = None

    def __repr__(self) -> str:
        """Show no password."""
        return f"TlsOptions(versions={self.versions!r}, ciphers={self.ciphers!r})"


DEFAULT_OPTIONS: Final = TlsOptions()


def server_context(
    cert: Path | None, key: Path | None, ca: Path | None, options: TlsOptions = DEFAULT_OPTIONS
) -> ssl.SSLContext:
    """Return a server's context; with a CA, client certificates are asked for.

    They are verified if they come, and only on request required. Raises :class:`ssl.SSLError` and
    :class:`OSError` for files, ciphers and passwords that cannot be used.
    """
    assert cert is not None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    versions = sorted(VERSIONS[name] for name in options.versions)
    context.minimum_version, context.maximum_version = versions[0], versions[-1]
    if options.ciphers is not None:
        context.set_ciphers(options.ciphers)
    # Always a callable: without one OpenSSL asks on the terminal.
    context.load_cert_chain(cert, key, password=lambda: options.key_password or "")
    if ca is not None:
        context.load_verify_locations(ca)
        is_required = options.requires_certificate
        context.verify_mode = ssl.CERT_REQUIRED if is_required else ssl.CERT_OPTIONAL
    return context


def client_certificate(stream: TypedAttributeProvider) -> CertificateNames | None:
    """Return the names in the client's verified certificate, None if it has shown none."""
    certificate: bytes | None = stream.extra(TLSAttribute.peer_certificate_binary, None)
    return names_in_certificate(certificate) if certificate else None


def authority_count(ssl_object: Any) -> int:
    """Return how many authorities stand between a client's certificate and one that is trusted.

    0 without a certificate. The ``ssl`` module cannot have OpenSSL limit it (RFC 5280 calls it
    path length), and shows the chain publicly only from Python 3.13 on.
    """
    source = ssl_object if hasattr(ssl_object, "get_verified_chain") else ssl_object._sslobj
    if not ssl_object.getpeercert(binary_form=True):
        return 0
    return max(0, len(source.get_verified_chain()) - 2)


def is_encrypted(stream: TypedAttributeProvider) -> bool:
    """Return whether a connection is one of TLS."""
    return stream.extra(TLSAttribute.ssl_object, None) is not None
