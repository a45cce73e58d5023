"""A client that fails at TLS is hung up on, and the log has one line that says why."""

from __future__ import annotations

import logging
import socket
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import trustme
from anyio import to_thread
from anyio.abc import SocketAttribute

from amqpbroker.auth.tls import TlsOptions, server_context
from amqpbroker.config import Config
from amqpbroker.tls_listener import AmqpsListener

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

DEADLINE_S = 8.0


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@asynccontextmanager
async def listening(
    authority: trustme.CA, folder: Path, options: TlsOptions | None = None, **settings: Any
) -> AsyncIterator[int]:
    """Serve TLS on a port: whoever gets in is told so and hung up on."""
    cert, key, ca = (folder / f"{name}.pem" for name in ("cert", "key", "ca"))
    issued = authority.issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(cert)
    issued.private_key_pem.write_to_path(key)
    authority.cert_pem.write_to_path(ca)
    context = server_context(cert, key, ca, options or TlsOptions())
    tcp = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)

    async def greet(stream: Any) -> None:
        await stream.send(b"in")
        await stream.aclose()

    config = Config(is_memory=True, **settings)
    async with AmqpsListener(tcp, context, config) as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, greet)
        yield tcp.extra(SocketAttribute.local_port)
        tasks.cancel_scope.cancel()


def say(port: int, data: bytes) -> bytes:
    """Send bytes and return all that comes back."""
    with socket.create_connection(("127.0.0.1", port), DEADLINE_S) as client:
        client.sendall(data)
        if not data:
            client.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := client.recv(65536):
            answer += chunk
        return answer


def shake_hands(port: int, context: ssl.SSLContext) -> bytes:
    """Return what a TLS client reads."""
    with (
        socket.create_connection(("127.0.0.1", port), DEADLINE_S) as client,
        context.wrap_socket(client, server_hostname="localhost") as tls,
    ):
        return tls.recv(100)


def client_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [item.getMessage() for item in caplog.records if item.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    "data",
    [b"AMQP\x00\x00\x09\x01", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x01\x00\x00\x00"],
)
async def test_what_is_no_tls_is_hung_up_on_with_one_line(
    authority: trustme.CA, tmp_path: Path, caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    async with listening(authority, tmp_path) as port:
        await to_thread.run_sync(say, port, data + bytes(64))
        assert await to_thread.run_sync(shake_hands, port, client_context(authority)) == b"in"
    (line,) = warnings(caplog)
    assert "closed, TLS handshake failed: what came is no TLS" in line
    assert not caplog.records[0].exc_info


async def test_a_health_check_leaves_no_trace(
    authority: trustme.CA, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(authority, tmp_path) as port:
        assert await to_thread.run_sync(say, port, b"") == b""
    assert warnings(caplog) == []


async def test_who_says_nothing_is_hung_up_on_in_time(
    authority: trustme.CA, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(authority, tmp_path, handshake_timeout_s=0.05) as port:
        assert await to_thread.run_sync(say, port, b"\x16\x03\x01\x40\x00") == b""
    (line,) = warnings(caplog)
    assert line.endswith("closed, no TLS handshake in time")


async def test_an_old_version_is_refused_with_one_line(
    authority: trustme.CA, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    context = client_context(authority)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with listening(authority, tmp_path, TlsOptions(versions=["TLSv1.3"])) as port:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await to_thread.run_sync(shake_hands, port, context)
    (line,) = warnings(caplog)
    assert "UNSUPPORTED_PROTOCOL" in line


@pytest.mark.parametrize(("depth", "is_in"), [(None, True), (1, True), (0, False)])
async def test_authorities_between_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, depth: int | None, is_in: bool
) -> None:
    root = trustme.CA()
    between = root.create_child_ca()
    context = client_context(root)
    between.issue_cert("client.example").configure_cert(context)
    async with listening(root, tmp_path, tls_verify_depth=depth) as port:
        try:
            answer = await to_thread.run_sync(shake_hands, port, context)
        except OSError:
            answer = b""
    assert (answer == b"in") is is_in
    expected = ["1 authorities are behind its certificate, at most 0 may be"]
    assert [line.partition("closed, ")[2] for line in warnings(caplog)] == expected * (not is_in)
