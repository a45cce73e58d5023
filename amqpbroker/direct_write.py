"""Writing to a socket at once, without the detour through a writer task.

A wake-up of the writer costs two or three rounds of the event loop; a small write to a socket that
has room costs one system call. So small batches are written where they arise, and only what the
socket does not take at once is left to the writer task. Not for TLS, whose stream must see it all.

The descriptor is a duplicate of the socket's: the event loop may close the original at any time
(a reset by the peer), and its number may be another connection's the next moment.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from anyio.abc import SocketAttribute, SocketStream

if TYPE_CHECKING:
    import socket

    from anyio.abc import ByteStream

USES_BEFORE_DUPLICATION: Final = 32
"""Writes before a second descriptor pays: an idle connection never gets one."""


class DirectWriter:
    """Writes to the socket of one stream as long as it takes everything at once."""

    __slots__ = ("_descriptor", "_stream", "_uses")

    def __init__(self, stream: ByteStream) -> None:
        self._stream: ByteStream | None = stream if isinstance(stream, SocketStream) else None
        self._uses = 0
        self._descriptor = -1

    @property
    def is_ready(self) -> bool:
        """Whether ``write`` may be called now; the descriptor is made on the way."""
        if self._descriptor >= 0:
            return True
        if self._stream is None:
            return False
        self._uses += 1
        if self._uses < USES_BEFORE_DUPLICATION:
            return False
        raw: socket.socket = self._stream.extra(SocketAttribute.raw_socket)
        self._stream = None
        try:
            self._descriptor = os.dup(raw.fileno())
        except OSError:
            return False
        return True

    def write(self, data: bytes) -> int:
        """Write what the socket takes now; return how many bytes that were, 0 on any error.

        Errors are for the writer task to find: it writes the rest.
        """
        try:
            return os.write(self._descriptor, data)
        except OSError:
            return 0

    def close(self) -> None:
        """Close the second descriptor; nothing is written any more."""
        self._stream = None
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
