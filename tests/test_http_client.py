"""Requests to others: answers, deadlines, certificates."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

import anyio
import pytest
import trustme

from amqpbroker.auth.exceptions import HttpFailed
from amqpbroker.http_client import BODY_SIZE_MAX, HttpClient
from tests.web import Web, serve_web

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CLIENT = HttpClient(timeout_s=5)


@pytest.fixture
def web() -> Iterator[Web]:
    with serve_web() as web:
        yield web


async def test_a_get_has_its_query(web: Web) -> None:
    web.answer = lambda _request: (200, b"found")
    assert await CLIENT.request("GET", f"{web.url}/a/b?name=%2F") == (200, b"found")
    (request,) = web.requests
    assert (request.method, request.path, request.parameters) == ("GET", "/a/b", {"name": "/"})


async def test_a_post_has_a_form(web: Web) -> None:
    web.answer = lambda _request: (201, b"made")
    assert await CLIENT.request("POST", web.url, "name=%2F") == (201, b"made")
    (request,) = web.requests
    assert (request.method, request.path, request.parameters) == ("POST", "/", {"name": "/"})
    assert request.content_type == "application/x-www-form-urlencoded"


async def test_what_is_not_there_is_a_failure(web: Web) -> None:
    assert (await CLIENT.request("GET", web.url))[0] == 404
    with pytest.raises(HttpFailed, match="the answer is 404"):
        await CLIENT.get(web.url)


async def test_an_answer_has_a_size(web: Web) -> None:
    web.answer = lambda _request: (200, bytes(BODY_SIZE_MAX + 1))
    with pytest.raises(HttpFailed, match="longer than"):
        await CLIENT.get(web.url)


async def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(HttpFailed, match="cannot connect"):
        await CLIENT.get(f"http://127.0.0.1:{port}/?password=secret")


async def test_a_deadline_for_all_of_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:  # accepts, and says nothing
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(HttpFailed, match="timeout"):
            await HttpClient(timeout_s=0.05).get(url)


@pytest.mark.parametrize(
    "words", [b"", b"hello\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"]
)
async def test_another_protocol(words: bytes) -> None:
    async def talk(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(words or b"\r\n")

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, talk)
        with pytest.raises(HttpFailed):
            await CLIENT.get(f"http://127.0.0.1:{port}")
        tasks.cancel_scope.cancel()


async def test_certificates_are_verified(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    with serve_web(context) as web:
        web.answer = lambda _request: (200, b"safe")
        trusting = HttpClient(timeout_s=5, ca_file=path)
        assert await trusting.get(web.url) == b"safe"
        with pytest.raises(HttpFailed, match="TLS: "):
            await trusting.get(web.url.replace("localhost", "127.0.0.1"))
        with pytest.raises(HttpFailed, match="TLS: unable to get local issuer"):
            await CLIENT.get(web.url)
        assert await HttpClient(timeout_s=5, is_verifying=False).get(web.url) == b"safe"


def test_an_authority_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        HttpClient(timeout_s=5, ca_file=tmp_path / "none.pem")
