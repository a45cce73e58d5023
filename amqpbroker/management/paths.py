"""Paths are routed as they were sent.

A framework that decodes them first takes the ``%2F`` of the default vhost for a separator (FEATURES
T28). Here a path is split first, and each segment that holds a name (``{vhost:name}``) is decoded
on its own.
"""

from __future__ import annotations

from email.utils import formatdate
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from fastapi import APIRouter
from starlette.convertors import Convertor, register_url_convertor

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class NameConvertor(Convertor[str]):
    """A segment of a path: any name, percent-encoded, even an empty one."""

    regex = "[^/]*"

    def convert(self, value: str) -> str:
        """Decode a segment; what is not UTF-8 is kept byte by byte."""
        return unquote(value, "utf-8", "surrogateescape")

    def to_string(self, value: str) -> str:
        """Encode a segment."""
        return quote(value, safe="", errors="surrogateescape")


register_url_convertor("name", NameConvertor())


def new_router() -> APIRouter:
    """Return a router for the paths of one resource, which may contain ``{…:name}``."""
    return APIRouter()


class RawPaths:
    """Has an application route paths as sent, and HEAD as GET; dates what it answers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""

        async def send_dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                date = formatdate(usegmt=True).encode()
                own = ((b"cache-control", b"no-cache"), (b"date", date))
                message["headers"] = [*message["headers"], *own]
            await send(message)

        path = scope["raw_path"].decode("ascii").removesuffix("/") or "/"
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        await self._app({**scope, "path": path, "method": method}, receive, send_dated)
