"""The PROXY protocol, versions 1 and 2: who the client is that a proxy connects for (A1.18).

https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt

::

    version 1    PROXY TCP4 192.0.2.7 192.0.2.1 50000 5672\\r\\n       or TCP6, or UNKNOWN
    version 2    12 bytes of signature | command | family | length (2) | addresses, and more

The header comes before everything else, TLS too, and is read to its last byte and no further. A
connection that begins otherwise is closed: behind a proxy nobody speaks for themselves.
"""

from __future__ import annotations

import ipaddress
import logging
import struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import WeakKeyDictionary

import anyio
from anyio import aclose_forcefully
from anyio.abc import ByteStream, Listener, SocketAttribute

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from anyio.abc import TaskGroup

logger = logging.getLogger("amqpbroker.server")

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
LINE_SIZE_MAX: Final = 107
"""Bytes of version 1, its end included."""
BODY_SIZE_MAX: Final = 4096
"""Bytes of version 2 after the length: addresses, and what a proxy says of TLS."""
LOCAL, PROXY = 0x20, 0x21
_FAMILIES: Final = {
    0x11: struct.Struct(">4s4sHH"),  # TCP over IPv4
    0x21: struct.Struct(">16s16sHH"),  # TCP over IPv6
}


class BadProxyHeader(Exception):
    """A connection does not begin as one of a proxy must."""


class ProxiedAddresses(NamedTuple):
    """Host and port of the client, and of what it has connected to."""

    remote: tuple[str, int]
    local: tuple[str, int]


_PROXIED: Final[WeakKeyDictionary[ByteStream, ProxiedAddresses]] = WeakKeyDictionary()


def proxied_addresses(stream: ByteStream) -> ProxiedAddresses | None:
    """Return what a proxy has said of a connection, with TLS or without; None if nothing."""
    return _PROXIED.get(getattr(stream, "transport_stream", stream))


class ProxyListener(Listener[ByteStream]):
    """A listener whose clients all come through a proxy."""

    def __init__(self, listener: Listener[ByteStream], timeout_s: float) -> None:
        """``timeout_s`` is for the header."""
        self._listener = listener
        self._timeout_s = timeout_s

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """Return those of the listener itself."""
        return self._listener.extra_attributes

    async def serve(
        self, handler: Callable[[ByteStream], Any], task_group: TaskGroup | None = None
    ) -> None:
        """Read the header of each connection, then hand it on."""

        async def greet(stream: ByteStream) -> None:
            try:
                with anyio.fail_after(self._timeout_s):
                    addresses = await read_header(stream.receive)
            except (BadProxyHeader, TimeoutError, anyio.EndOfStream, OSError) as error:
                reason = str(error) or "it did not come"
                peer = stream.extra(SocketAttribute.remote_address, ("?", 0))
                logger.warning("%s:%s: closed, bad PROXY header: %s", peer[0], peer[1], reason)
                await aclose_forcefully(stream)
                return
            except anyio.BrokenResourceError:
                await aclose_forcefully(stream)
                return
            if addresses is not None:
                _PROXIED[stream] = addresses
            await handler(stream)

        await self._listener.serve(greet, task_group)

    async def aclose(self) -> None:
        """Close the listener itself."""
        await self._listener.aclose()


async def read_header(receive: Callable[[int], Awaitable[bytes]]) -> ProxiedAddresses | None:
    """Read a header; ``receive`` returns up to so many bytes and keeps the rest.

    Returns None if the proxy speaks for itself, such as to see whether the broker lives.

    :raises BadProxyHeader: it is none.
    """
    start = await _exactly(receive, len(SIGNATURE))
    if start == SIGNATURE:
        return await _version_2(receive)
    if not start.startswith(b"PROXY "):
        raise BadProxyHeader(f"it begins with {start[:8]!r}")
    line = bytearray(start)
    while not line.endswith(b"\r\n"):
        if len(line) >= LINE_SIZE_MAX:
            raise BadProxyHeader("the line is too long")
        line += await _exactly(receive, 1)
    return _version_1(bytes(line))


def _version_1(line: bytes) -> ProxiedAddresses | None:
    words = line[:-2].decode("latin-1").split(" ")
    if words[1] == "UNKNOWN":
        return None
    try:
        family, source, destination, source_port, destination_port = words[1:]
        version = {"TCP4": 4, "TCP6": 6}[family]
        hosts = [ipaddress.ip_address(text) for text in (source, destination)]
        ports = [_port(text) for text in (source_port, destination_port)]
    except (ValueError, KeyError):
        raise BadProxyHeader(f"{line!r}") from None
    if any(host.version != version for host in hosts):
        raise BadProxyHeader(f"{line!r}")
    return ProxiedAddresses((str(hosts[0]), ports[0]), (str(hosts[1]), ports[1]))


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise ValueError(text)
    return int(text)


async def _version_2(receive: Callable[[int], Awaitable[bytes]]) -> ProxiedAddresses | None:
    command, family, size = struct.unpack(">BBH", await _exactly(receive, 4))
    if command not in (LOCAL, PROXY):
        raise BadProxyHeader(f"command {command:#04x}")
    if size > BODY_SIZE_MAX:
        raise BadProxyHeader(f"{size} bytes of addresses")
    body = await _exactly(receive, size)
    layout = _FAMILIES.get(family)
    if command == LOCAL or layout is None:
        return None
    if len(body) < layout.size:
        raise BadProxyHeader(f"{size} bytes of addresses")
    source, destination, source_port, destination_port = layout.unpack_from(body)
    return ProxiedAddresses(
        (str(ipaddress.ip_address(source)), source_port),
        (str(ipaddress.ip_address(destination)), destination_port),
    )


async def _exactly(receive: Callable[[int], Awaitable[bytes]], size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += await receive(size - len(data))
    return data
