"""The server's TLS context, and what it makes of a client's certificate."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from anyio.streams.tls import TLSAttribute
from cryptography.hazmat.primitives import serialization

from amqpbroker.auth.tls import (
    TlsOptions,
    authority_count,
    client_certificate,
    server_context,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def authority() -> trustme.CA:
    """Who signs the certificates of a test."""
    return trustme.CA()


@pytest.fixture
def files(authority: trustme.CA, tmp_path: Path) -> dict[str, Path]:
    """Paths of a certificate, its key and its authority."""
    certificate = authority.issue_cert("localhost")
    names = {name: tmp_path / f"{name}.pem" for name in ("cert", "key", "ca")}
    certificate.private_key_pem.write_to_path(names["key"])
    certificate.cert_chain_pems[0].write_to_path(names["cert"])
    authority.cert_pem.write_to_path(names["ca"])
    return names


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> ssl.SSLObject:
    """Run a handshake in memory; return the server's side."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        server.wrap_bio(to_server, to_client, server_side=True),
        client.wrap_bio(to_client, to_server, server_hostname="localhost"),
    ]
    waiting = list(reversed(sides))
    for _ in range(10):
        for side in list(waiting):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(side)
    assert not waiting
    return sides[0]


def client_context(authority: trustme.CA, common_name: str | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    if common_name is not None:
        authority.issue_cert("x.example", common_name=common_name).configure_cert(context)
    return context


class Stream:
    """Offers a certificate like anyio's TLS stream."""

    def __init__(self, certificate: bytes | None) -> None:
        self.certificate = certificate

    def extra(self, attribute: Any, default: object = None) -> object:
        assert attribute is TLSAttribute.peer_certificate_binary
        return default if self.certificate is None else self.certificate


def names(certificate: bytes | None) -> Any:
    return client_certificate(Stream(certificate))  # type: ignore[arg-type]


def test_old_versions_of_tls_are_refused(files: dict[str, Path]) -> None:
    context = server_context(files["cert"], files["key"], None)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_NONE


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_may_show_a_certificate(
    files: dict[str, Path], authority: trustme.CA, version: ssl.TLSVersion
) -> None:
    client = client_context(authority, "ann")
    client.minimum_version = client.maximum_version = version
    server = server_context(files["cert"], files["key"], files["ca"])
    shown = shake_hands(server, client).getpeercert(binary_form=True)
    found = names(shown)
    assert found.common_name == "ann"
    assert found.sans == (("dns", "x.example"),)


def test_a_client_need_not_show_a_certificate(
    files: dict[str, Path], authority: trustme.CA
) -> None:
    server = server_context(files["cert"], files["key"], files["ca"])
    shown = shake_hands(server, client_context(authority)).getpeercert(binary_form=True)
    assert shown is None
    assert names(shown) is None


def test_a_certificate_of_somebody_else_is_refused(
    files: dict[str, Path], authority: trustme.CA
) -> None:
    client = client_context(authority)
    trustme.CA().issue_cert("x.example").configure_cert(client)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    server = server_context(files["cert"], files["key"], files["ca"])
    with pytest.raises(ssl.SSLError):
        shake_hands(server, client)


def test_without_an_authority_no_certificate_is_asked_for(
    files: dict[str, Path], authority: trustme.CA
) -> None:
    server = server_context(files["cert"], files["key"], None)
    shown = shake_hands(server, client_context(authority, "ann")).getpeercert(binary_form=True)
    assert shown is None


def test_files_that_are_no_certificates(files: dict[str, Path], tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_bytes(b"")
    with pytest.raises(ssl.SSLError):
        server_context(empty, files["key"], None)
    with pytest.raises(ssl.SSLError):
        server_context(files["cert"], files["key"], empty)
    with pytest.raises(FileNotFoundError):
        server_context(tmp_path / "no.pem", files["key"], None)


def test_versions_and_ciphers_can_be_chosen(files: dict[str, Path], authority: trustme.CA) -> None:
    chosen = "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES256-GCM-SHA384"
    options = TlsOptions(versions=["TLSv1.2"], ciphers=chosen)
    context = server_context(files["cert"], files["key"], None, options)
    shaken = shake_hands(context, client_context(authority))
    assert shaken.version() == "TLSv1.2"
    cipher = shaken.cipher()
    assert cipher is not None
    assert cipher[0] in chosen.split(":")
    with pytest.raises(ssl.SSLError):
        server_context(files["cert"], files["key"], None, TlsOptions(ciphers="nonsense"))


def test_a_certificate_can_be_required(files: dict[str, Path], authority: trustme.CA) -> None:
    options = TlsOptions(requires_certificate=True)
    context = server_context(files["cert"], files["key"], files["ca"], options)
    shaken = shake_hands(context, client_context(authority, "ann"))
    assert authority_count(shaken) == 0
    client = client_context(authority)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        shake_hands(context, client)


def test_an_encrypted_key_takes_its_password(files: dict[str, Path], authority: trustme.CA) -> None:
    key = serialization.load_pem_private_key(files["key"].read_bytes(), None)
    files["key"].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    options = TlsOptions(key_password="secret")
    assert "secret" not in repr(options)
    shake_hands(
        server_context(files["cert"], files["key"], None, options), client_context(authority)
    )
    for wrong in (None, "other"):
        with pytest.raises(ssl.SSLError):
            server_context(files["cert"], files["key"], None, TlsOptions(key_password=wrong))


def test_without_a_certificate_there_are_no_authorities(
    files: dict[str, Path], authority: trustme.CA
) -> None:
    context = server_context(files["cert"], files["key"], files["ca"])
    assert authority_count(shake_hands(context, client_context(authority))) == 0
