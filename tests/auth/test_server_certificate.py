"""Certificates that change and end while the broker runs (FEATURES A16.3, A16.4)."""

from __future__ import annotations

import logging
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import trustme

from amqpbroker.auth.server_certificate import DAY_S, ServerCertificate

if TYPE_CHECKING:
    from pathlib import Path

END = datetime(2030, 1, 31, tzinfo=UTC)


@pytest.fixture
def authority() -> trustme.CA:
    """Who signs the certificates of a test."""
    return trustme.CA()


class Files:
    """A certificate, its key and its authority on the disk."""

    def __init__(self, folder: Path, authority: trustme.CA) -> None:
        self.cert, self.key, self.ca = (folder / f"{name}.pem" for name in ("cert", "key", "ca"))
        self.authority = authority
        authority.cert_pem.write_to_path(self.ca)
        self.renew()

    def renew(self, end: datetime = END, *, with_key: bool = True) -> None:
        """Write a new certificate."""
        issued = self.authority.issue_cert("localhost", not_after=end)
        issued.cert_chain_pems[0].write_to_path(self.cert)
        if with_key:
            issued.private_key_pem.write_to_path(self.key)

    def read(self, now: float = 0) -> ServerCertificate:
        """Return the certificate, at a time."""
        return ServerCertificate(self.cert, self.key, self.ca, now=lambda: now)


@pytest.fixture
def files(tmp_path: Path, authority: trustme.CA) -> Files:
    """Files that fit together."""
    return Files(tmp_path, authority)


def test_it_says_when_it_ends(files: Files) -> None:
    certificate = files.read()
    assert certificate.expires_at == END.timestamp()
    assert certificate.ca_expires_at is not None
    assert certificate.first_expires_at == END.timestamp()


def test_without_authorities_only_the_chain_ends(files: Files) -> None:
    certificate = ServerCertificate(files.cert, files.key, None)
    assert (certificate.ca_expires_at, certificate.first_expires_at) == (None, END.timestamp())


def test_unusable_files_are_refused_at_first(files: Files) -> None:
    files.renew(with_key=False)
    with pytest.raises(ssl.SSLError):
        files.read()


def test_what_has_not_changed_is_not_read_again(files: Files) -> None:
    certificate = files.read()
    context = certificate.context
    certificate.check()
    assert certificate.context is context


def test_changed_files_are_read_again(files: Files) -> None:
    certificate = files.read()
    context = certificate.context
    files.renew(datetime(2031, 1, 1, tzinfo=UTC))
    certificate.check()
    assert certificate.context is not context
    assert certificate.expires_at == datetime(2031, 1, 1, tzinfo=UTC).timestamp()


def test_what_does_not_fit_together_leaves_the_old_one_until_it_does(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    certificate = files.read()
    context = certificate.context
    files.renew(with_key=False)
    certificate.check()
    certificate.check()
    assert certificate.context is context
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    files.renew()
    certificate.check()
    assert certificate.context is not context


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_a_file_that_is_gone_or_spoilt_leaves_the_old_one(
    files: Files, content: bytes | None
) -> None:
    certificate = files.read()
    context = certificate.context
    files.cert.unlink()
    if content is not None:
        files.cert.write_bytes(content)
    certificate.check()
    assert certificate.context is context
    assert not certificate.reload()


@pytest.mark.parametrize(
    ("days", "text"), [(31, None), (7, "expires in 7 days"), (-1, "has expired")]
)
def test_the_end_is_warned_of(
    files: Files, caplog: pytest.LogCaptureFixture, days: int, text: str | None
) -> None:
    certificate = files.read(END.timestamp() - days * DAY_S)
    certificate.check()
    certificate.check()
    assert [text in record.message for record in caplog.records if text] == [True] * bool(text)
