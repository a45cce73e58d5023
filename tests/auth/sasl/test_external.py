"""EXTERNAL: the certificate says who it is."""

from __future__ import annotations

import pytest

from amqpbroker.auth.exceptions import AuthenticationFailed
from amqpbroker.auth.sasl.external import External, is_offered, name_in_certificate
from amqpbroker.auth.sasl.mechanism import (
    CertificateLogin,
    CertificateNames,
    Context,
    Peer,
    SaslSettings,
)
from amqpbroker.auth.users import UserStore

NAMES = CertificateNames(
    "CN=client,O=Org",
    "client",
    [("dns", "one.example"), ("email", "a@b.example"), ("dns", "two.example")],
)


def context(names: CertificateNames | None, settings: SaslSettings | None = None) -> Context:
    return Context(UserStore(), Peer(False, names), settings or SaslSettings())


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (SaslSettings(), "CN=client,O=Org"),
        (SaslSettings(ssl_cert_login_from="common_name"), "client"),
        (SaslSettings(ssl_cert_login_from="subject_alternative_name"), "one.example"),
    ],
)
def test_the_name_is_taken_from_where_the_setting_says(settings: SaslSettings, name: str) -> None:
    assert External(context(NAMES, settings)).step(b"") == (name,)


@pytest.mark.parametrize(
    ("kind", "index", "name"),
    [("dns", 1, "two.example"), ("email", 0, "a@b.example"), ("dns", 2, None), ("uri", 0, None)],
)
def test_an_alternative_name_is_chosen_by_type_and_index(
    kind: str, index: int, name: str | None
) -> None:
    settings = SaslSettings(
        ssl_cert_login_from="subject_alternative_name",
        ssl_cert_login_san_type=kind,
        ssl_cert_login_san_index=index,
    )
    assert name_in_certificate(NAMES, settings) == name


@pytest.mark.parametrize("source", ["common_name", "subject_alternative_name"])
def test_a_certificate_without_the_name_is_refused(source: CertificateLogin) -> None:
    settings = SaslSettings(ssl_cert_login_from=source)
    with pytest.raises(AuthenticationFailed):
        External(context(CertificateNames("O=Org"), settings)).step(b"")


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(AuthenticationFailed):
        External(context(CertificateNames(""))).step(b"")


def test_the_response_is_ignored() -> None:
    assert External(context(NAMES)).step(b"root") == ("CN=client,O=Org",)


def test_it_is_offered_to_peers_with_a_certificate() -> None:
    assert is_offered(context(NAMES))
    assert not is_offered(context(None))
