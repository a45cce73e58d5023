"""The TLS listener: a handshake that fails ends one connection, with one line in the log."""

from __future__ import annotations

import logging
import ssl
from typing import TYPE_CHECKING, Any, Final

import anyio
from anyio import BrokenResourceError, EndOfStream, aclose_forcefully, get_cancelled_exc_class
from anyio.abc import SocketAttribute
from anyio.streams.tls import TLSAttribute, TLSListener, TLSStream

from amqpbroker.auth.tls import authority_count

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyio.abc import AnyByteStream, Listener, TaskGroup

    from amqpbroker.config import Config

logger = logging.getLogger("amqpbroker.tls")

NO_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNEXPECTED_MESSAGE"})
"""What OpenSSL calls bytes that are no TLS."""


class AmqpsListener(TLSListener):
    """Accepts clients after their handshake. ``ssl_context`` may be replaced meanwhile."""

    def __init__(self, listener: Listener[Any], context: ssl.SSLContext, config: Config) -> None:
        super().__init__(
            listener,
            context,
            standard_compatible=False,
            handshake_timeout=config.handshake_timeout_s,
        )
        self._verify_depth = config.tls_verify_depth

    async def serve(
        self, handler: Callable[[TLSStream], Any], task_group: TaskGroup | None = None
    ) -> None:
        """Hand clients to ``handler`` whose certificate is near enough to an authority."""

        async def checked(stream: TLSStream) -> None:
            count = authority_count(stream.extra(TLSAttribute.ssl_object))
            if self._verify_depth is not None and count > self._verify_depth:
                logger.warning(
                    "%s: closed, %d authorities are behind its certificate, at most %d may be",
                    _name(stream), count, self._verify_depth,
                )  # fmt: skip
                await aclose_forcefully(stream)
                return
            await handler(stream)

        await super().serve(checked, task_group)

    @staticmethod
    async def handle_handshake_error(exc: BaseException, stream: AnyByteStream) -> None:
        """Close and say why; who goes without a word is a health check or a port scan."""
        name = _name(stream)
        await aclose_forcefully(stream)
        if not isinstance(exc, Exception) or isinstance(exc, get_cancelled_exc_class()):
            raise exc
        cause = exc if isinstance(exc, ssl.SSLError) else exc.__cause__
        if isinstance(exc, TimeoutError):
            logger.warning("%s: closed, no TLS handshake in time", name)
        elif isinstance(cause, ssl.SSLError):
            logger.warning("%s: closed, TLS handshake failed: %s", name, _reason(cause))
        elif isinstance(exc, EndOfStream | BrokenResourceError | anyio.ClosedResourceError):
            logger.debug("%s: gone before the TLS handshake", name)
        else:
            logger.warning("%s: closed, TLS handshake failed: %s", name, type(exc).__name__)


def _reason(error: ssl.SSLError) -> str:
    if error.reason in NO_TLS:
        return f"what came is no TLS ({error.reason})"
    return str(error.reason or error.args[-1])


def _name(stream: AnyByteStream) -> str:
    address = stream.extra(SocketAttribute.remote_address, "?")
    return address if isinstance(address, str) else f"{address[0]}:{address[1]}"
