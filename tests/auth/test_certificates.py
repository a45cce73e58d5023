"""Names are read from certificates as RabbitMQ spells them."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID, ObjectIdentifier

from amqpbroker.auth.certificates import format_name, names_in_certificate

Attribute = tuple[ObjectIdentifier, str]


def name_of(*attributes: Attribute) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes])


def certificate(subject: x509.Name, sans: list[x509.GeneralName] | None = None) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2040, 1, 1, tzinfo=UTC))
    )
    if sans is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def test_a_distinguished_name_is_written_last_part_first() -> None:
    subject = name_of(
        (NameOID.COUNTRY_NAME, "DE"),
        (NameOID.ORGANIZATION_NAME, "Org"),
        (NameOID.SURNAME, "Doe"),
        (NameOID.COMMON_NAME, "client"),
    )
    assert format_name(subject) == "CN=client,SN=Doe,O=Org,C=DE"


def test_parts_of_many_attributes_are_joined_with_plus() -> None:
    parts = [
        x509.NameAttribute(NameOID.COMMON_NAME, "a"),
        x509.NameAttribute(NameOID.USER_ID, "b"),
    ]
    name = x509.Name([x509.RelativeDistinguishedName(parts)])
    assert sorted(format_name(name).split("+")) == ["CN=a", "UID=b"]


def test_an_attribute_without_a_short_name_is_written_in_numbers() -> None:
    assert format_name(name_of((ObjectIdentifier("1.2.3.4"), "v"))) == "1.2.3.4=v"


@pytest.mark.parametrize(
    ("value", "escaped"),
    [
        ('a"+,;<>\\b', '\\"\\+\\,\\;\\<\\>\\\\'.join("ab")),
        (" #a ", "\\ #a\\ "),
        ("#a#", "\\#a#"),
        ("a b", "a b"),
        ("é~", "\\C3\\A9\\7E"),
    ],
)
def test_values_are_escaped(value: str, escaped: str) -> None:
    assert format_name(name_of((NameOID.COMMON_NAME, value))) == f"CN={escaped}"


def test_common_names_are_joined_with_a_comma() -> None:
    subject = name_of((NameOID.COMMON_NAME, "a"), (NameOID.COMMON_NAME, "b"))
    assert names_in_certificate(certificate(subject)).common_name == "a,b"


def test_a_certificate_without_common_name_has_none() -> None:
    names = names_in_certificate(certificate(name_of((NameOID.ORGANIZATION_NAME, "Org"))))
    assert names.common_name is None
    assert names.distinguished_name == "O=Org"
    assert names.sans == ()


def test_alternative_names_keep_their_order_and_type() -> None:
    sans: list[x509.GeneralName] = [
        x509.DNSName("one.example"),
        x509.RFC822Name("a@b.example"),
        x509.UniformResourceIdentifier("urn:x"),
        x509.IPAddress(ip_address("127.0.0.1")),
        x509.RegisteredID(ObjectIdentifier("1.2.3")),
        x509.DNSName("two.example"),
    ]
    names = names_in_certificate(certificate(name_of((NameOID.COMMON_NAME, "c")), sans))
    assert list(names.sans) == [
        ("dns", "one.example"),
        ("email", "a@b.example"),
        ("uri", "urn:x"),
        ("ip", "127.0.0.1"),
        ("dns", "two.example"),
    ]


def test_what_is_no_certificate_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="error parsing asn1 value"):
        names_in_certificate(b"garbage")
