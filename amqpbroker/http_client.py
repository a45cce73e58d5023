"""A small HTTP client: one request per connection, with deadlines, for keys and backends.

h11 knows the protocol (uvicorn brings it along), anyio the sockets and TLS. Redirects are not
followed, proxies not used. URLs in messages are cut at the ``?``: what follows may be a password.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urlsplit

import anyio
import h11

from amqpbroker.auth.exceptions import HttpFailed

if TYPE_CHECKING:
    from pathlib import Path

    from anyio.abc import ByteStream

BODY_SIZE_MAX: Final = 1 << 20
"""Bytes of an answer; a JWKS has some kilobytes, a backend says a word."""
READ_SIZE: Final = 1 << 16
FORM: Final = "application/x-www-form-urlencoded"


class HttpClient:
    """Settings that requests share; it keeps nothing between them."""

    def __init__(
        self,
        *,
        timeout_s: float,
        connect_timeout_s: float | None = None,
        ca_file: Path | None = None,
        is_verifying: bool = True,
    ) -> None:
        """``timeout_s`` is for the whole request; ``ca_file`` None takes the system's authorities.

        :raises OSError: the file cannot be used (:class:`ssl.SSLError` is one).
        """
        self._timeout_s = timeout_s
        self._connect_timeout_s = timeout_s if connect_timeout_s is None else connect_timeout_s
        self._context = ssl.create_default_context(cafile=ca_file)
        if not is_verifying:
            self._context.check_hostname = False
            self._context.verify_mode = ssl.CERT_NONE

    async def get(self, url: str) -> bytes:
        """Return what is at ``url``.

        :raises HttpFailed: no answer in time, or one that is not 200.
        """
        status, body = await self.request("GET", url)
        if status != 200:
            raise HttpFailed(f"the answer is {status}")
        return body

    async def request(self, method: str, url: str, form: str | None = None) -> tuple[int, bytes]:
        """Return status and body of the answer; ``form`` is sent as a body.

        :raises HttpFailed: there is none, the text says why.
        """
        parts = urlsplit(url)
        try:
            with anyio.fail_after(self._timeout_s):
                with anyio.fail_after(self._connect_timeout_s):
                    stream = await self._connect(parts)
                async with stream:
                    return await _exchange(stream, _head(method, parts, form), form)
        except TimeoutError:
            raise HttpFailed("timeout") from None
        except ssl.SSLCertVerificationError as error:
            raise HttpFailed(f"TLS: {error.verify_message}") from None
        except (OSError, anyio.BrokenResourceError) as error:
            cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
            raise HttpFailed(f"cannot connect: {cause}") from None
        except (anyio.EndOfStream, h11.ProtocolError):
            raise HttpFailed("the answer is no HTTP") from None

    async def _connect(self, parts: SplitResult) -> ByteStream:
        host = parts.hostname or ""
        if parts.scheme != "https":
            return await anyio.connect_tcp(host, parts.port or 80)
        return await anyio.connect_tcp(
            host,
            parts.port or 443,
            ssl_context=self._context,
            tls_hostname=host,
            tls_standard_compatible=False,
        )


def _head(method: str, parts: SplitResult, form: str | None) -> h11.Request:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = [("Host", parts.netloc.rpartition("@")[2]), ("Connection", "close")]
    if form is not None:
        headers += [("Content-Type", FORM), ("Content-Length", str(len(form)))]
    return h11.Request(method=method, target=target, headers=headers)


async def _exchange(stream: ByteStream, head: h11.Request, form: str | None) -> tuple[int, bytes]:
    connection = h11.Connection(h11.CLIENT)
    data = connection.send(head) or b""
    if form is not None:
        data += connection.send(h11.Data(data=form.encode("ascii"))) or b""
    data += connection.send(h11.EndOfMessage()) or b""
    await stream.send(data)
    status, body = 0, bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await _receive(stream))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > BODY_SIZE_MAX:
                raise HttpFailed(f"the answer is longer than {BODY_SIZE_MAX} bytes")
        elif isinstance(event, h11.EndOfMessage):
            return status, bytes(body)


async def _receive(stream: ByteStream) -> bytes:
    """Return some bytes, none at the end."""
    try:
        return await stream.receive(READ_SIZE)
    except anyio.EndOfStream:
        return b""
