"""Definitions from a server: over TLS that is checked, and never from one that is not."""

from __future__ import annotations

import contextlib
import http.server
import ssl
import threading
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from amqpbroker.config import Config
from amqpbroker.definitions import DefinitionsError, https
from amqpbroker.definitions.sources import read_source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DOCUMENT = b'{"queues": []}'


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves one document, a redirect out of TLS, and nothing else."""

    def do_GET(self) -> None:
        status = {"/d.json": 200, "/away": 302, "/loop": 302}.get(self.path.partition("?")[0], 404)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "http://localhost/" if self.path == "/away" else "/d.json")
        self.end_headers()
        if status == 200:
            self.wfile.write(DOCUMENT)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class Server(http.server.ThreadingHTTPServer):
    """Does the TLS of each client in its thread, so that one that goes away harms nobody."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.context = context

    def finish_request(self, request: Any, client_address: Any) -> None:
        with (
            contextlib.suppress(OSError),
            self.context.wrap_socket(request.dup(), server_side=True) as tls,
        ):
            super().finish_request(tls, client_address)


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def url(ca: trustme.CA) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    server = Server(context)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"https://localhost:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def trusted(ca: trustme.CA, tmp_path: Path) -> Path:
    file = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(str(file))
    return file


async def fetched(url: str, **settings: Any) -> bytes:
    config = Config(is_memory=True, definitions_url=url, **settings)
    (part,) = (await read_source(config)).parts
    return part.data


async def test_a_trusted_server_is_read(url: str, trusted: Path) -> None:
    assert await fetched(f"{url}/d.json", definitions_tls_ca=trusted) == DOCUMENT


async def test_a_redirect_that_stays_in_tls_is_followed(url: str, trusted: Path) -> None:
    assert await fetched(f"{url}/loop", definitions_tls_ca=trusted) == DOCUMENT


@pytest.mark.parametrize(
    ("path", "text"),
    [("/nothing", "the server answers 404"), ("/away", "unknown url type: http")],
)
async def test_what_is_refused(url: str, trusted: Path, path: str, text: str) -> None:
    with pytest.raises(DefinitionsError, match=f"cannot be read: .*{text}"):
        await fetched(url + path, definitions_tls_ca=trusted)


async def test_a_server_that_nobody_vouches_for_is_refused(url: str) -> None:
    with pytest.raises(DefinitionsError, match="CERTIFICATE_VERIFY_FAILED"):
        await fetched(f"{url}/d.json")


async def test_the_check_can_be_turned_off(url: str) -> None:
    assert await fetched(f"{url}/d.json", definitions_tls_verify=False) == DOCUMENT


async def test_a_document_that_is_too_long(
    url: str, trusted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(https, "DOCUMENT_SIZE_MAX", len(DOCUMENT) - 1)
    with pytest.raises(DefinitionsError, match="expected at most 13 bytes"):
        await fetched(f"{url}/d.json", definitions_tls_ca=trusted)


async def test_a_server_that_takes_too_long(url: str, trusted: Path) -> None:
    with pytest.raises(DefinitionsError, match=r"cannot be read: .*(too long|timed out)"):
        await fetched(f"{url}/d.json", definitions_tls_ca=trusted, definitions_timeout_s=1e-6)


async def test_a_certificate_that_is_none(url: str, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("nothing")
    with pytest.raises(DefinitionsError, match="a certificate or key of definitions_tls"):
        await fetched(f"{url}/d.json", definitions_tls_ca=file)
