"""Requests to an ASGI application without a server."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from starlette.types import ASGIApp

GUEST: Final = (b"authorization", b"Basic " + base64.b64encode(b"guest:guest"))
"""The header that logs in."""


async def request(
    app: ASGIApp,
    raw_path: bytes,
    method: str = "GET",
    headers: tuple[tuple[bytes, bytes], ...] = (),
    content: bytes = b"",
) -> tuple[int, dict[bytes, bytes], bytes]:
    """Send a request from this machine; return status, headers and body of the answer."""
    scope = {
        "type": "http",
        "method": method,
        "path": "/not/used",
        "raw_path": raw_path,
        "query_string": b"",
        "headers": list(headers),
        "client": ("127.0.0.1", 1),
    }
    sent: list[Any] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]
