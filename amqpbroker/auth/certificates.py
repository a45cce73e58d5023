"""The names in a client's certificate, as RabbitMQ spells them (FEATURES A15.3).

A distinguished name is the subject after RFC 4514, last part first, with RabbitMQ's own short names
(``SN`` is the surname) and every byte outside printable ASCII written as ``\\XX``::

    CN=client,O=caf\\C3\\A9 \\+ bar
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from amqpbroker.auth.sasl.mechanism import CertificateNames

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHORT_NAMES: Final = {
    NameOID.SURNAME: "SN",
    NameOID.GIVEN_NAME: "GIVENNAME",
    NameOID.INITIALS: "INITIALS",
    NameOID.GENERATION_QUALIFIER: "GENERATIONQUALIFIER",
    NameOID.COMMON_NAME: "CN",
    NameOID.LOCALITY_NAME: "L",
    NameOID.STATE_OR_PROVINCE_NAME: "ST",
    NameOID.ORGANIZATION_NAME: "O",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "OU",
    NameOID.TITLE: "TITLE",
    NameOID.COUNTRY_NAME: "C",
    NameOID.SERIAL_NUMBER: "SERIALNUMBER",
    NameOID.PSEUDONYM: "PSEUDONYM",
    NameOID.DOMAIN_COMPONENT: "DC",
    NameOID.EMAIL_ADDRESS: "EMAILADDRESS",
    NameOID.STREET_ADDRESS: "STREET",
    NameOID.USER_ID: "UID",
}
_SPECIAL: Final = frozenset(b'"+,;<>\\')


def names_in_certificate(der: bytes) -> CertificateNames:
    """Return the names in a certificate (``SSLSocket.getpeercert(binary_form=True)``).

    Several common names are joined with a comma. The caller must have let TLS verify it.

    :raises ValueError: not a certificate.
    """
    certificate = x509.load_der_x509_certificate(der)
    common_names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return CertificateNames(
        distinguished_name=format_name(certificate.subject),
        common_name=",".join(_text(name.value) for name in common_names) or None,
        sans=tuple(_sans(certificate)),
    )


def format_name(name: x509.Name) -> str:
    """Return a distinguished name in RabbitMQ's spelling."""
    return ",".join(
        "+".join(_format_attribute(attribute) for attribute in rdn) for rdn in reversed(name.rdns)
    )


def _format_attribute(attribute: x509.NameAttribute[str | bytes]) -> str:
    short = _SHORT_NAMES.get(attribute.oid, attribute.oid.dotted_string)
    return f"{short}={_escape(_text(attribute.value))}"


def _escape(value: str) -> str:
    data = value.encode()
    last = len(data) - 1
    escaped = []
    for index, byte in enumerate(data):
        is_edge = (byte == 0x20 and index in (0, last)) or (byte == 0x23 and index == 0)
        if is_edge or byte in _SPECIAL:
            escaped.append("\\" + chr(byte))
        elif byte < 0x20 or byte >= 0x7E:
            escaped.append(f"\\{byte:02X}")
        else:
            escaped.append(chr(byte))
    return "".join(escaped)


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


def _sans(certificate: x509.Certificate) -> Iterator[tuple[str, str]]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return
    for name in extension.value:
        match name:
            case x509.DNSName():
                yield "dns", name.value
            case x509.RFC822Name():
                yield "email", name.value
            case x509.UniformResourceIdentifier():
                yield "uri", name.value
            case x509.IPAddress():
                yield "ip", str(name.value)
