"""Definitions from a server: https only, since they are as trusted as a file.

The server's certificate is checked unless a setting says otherwise; there is a limit on the size,
and one deadline for all of it.
"""

from __future__ import annotations

import http.client
import ssl
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, Final

from amqpbroker.definitions.exceptions import DefinitionsError

if TYPE_CHECKING:
    from amqpbroker.config import Config

DOCUMENT_SIZE_MAX: Final = 256 * 1024 * 1024
"""Bytes; a million queues are some 150 MB."""
READ_SIZE: Final = 1 << 16


def fetch(config: Config, url: str) -> bytes:
    """Return what the server at ``url`` has; blocks.

    Raises :class:`DefinitionsError`.
    """
    deadline = time.monotonic() + config.definitions_timeout_s
    opener = _opener(_tls_context(config))
    try:
        with opener.open(url, timeout=config.definitions_timeout_s) as response:
            return _read_all(response, deadline)
    except urllib.error.HTTPError as error:
        error.close()
        raise DefinitionsError("", f"cannot be read: the server answers {error.code}") from None
    except urllib.error.URLError as error:
        raise DefinitionsError("", f"cannot be read: {error.reason}") from None
    except (OSError, http.client.HTTPException) as error:
        raise DefinitionsError("", f"cannot be read: {error or type(error).__name__}") from None


def _opener(context: ssl.SSLContext) -> urllib.request.OpenerDirector:
    """Return what follows redirects, but not out of https: it knows nothing else."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.HTTPSHandler(context=context),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _read_all(response: Any, deadline: float) -> bytes:
    data = bytearray()
    while chunk := response.read(READ_SIZE):
        data += chunk
        if len(data) > DOCUMENT_SIZE_MAX:
            raise DefinitionsError("", f"expected at most {DOCUMENT_SIZE_MAX} bytes, found more")
        if time.monotonic() > deadline:
            raise TimeoutError("the server took too long")
    return bytes(data)


def _tls_context(config: Config) -> ssl.SSLContext:
    """Return what trusts the CAs of the settings, or those of the machine.

    Raises :class:`DefinitionsError`.
    """
    try:
        context = ssl.create_default_context(cafile=config.definitions_tls_ca)
        if config.definitions_tls_cert is not None:
            context.load_cert_chain(config.definitions_tls_cert, config.definitions_tls_key)
    except OSError as error:
        text = f"cannot be read: a certificate or key of definitions_tls_*: {error}"
        raise DefinitionsError("", text) from None
    if not config.definitions_tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
