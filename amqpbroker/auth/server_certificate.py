"""The files behind the TLS listener: read again when they change, warned of before they expire.

New files count for connections to come (FEATURES A16.3). Whoever renews them writes one after the
other, so what does not fit together is no disaster: the old ones stay in use until the next change.
"""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING, Final

from cryptography import x509

from amqpbroker.auth.tls import DEFAULT_OPTIONS, TlsOptions, server_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from pathlib import Path

logger = logging.getLogger("amqpbroker.tls")

DAY_S: Final = 86_400
WARNING_DAYS: Final = 30
"""How long before the end there is a warning, once a day."""

Stamp = tuple[int, int, int]


class ServerCertificate:
    """Certificate chain, key and authorities of clients; ``context`` is what is in use now."""

    def __init__(
        self,
        cert: Path,
        key: Path,
        ca: Path | None,
        *,
        options: TlsOptions = DEFAULT_OPTIONS,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Read the files; ``now`` is Unix time in seconds.

        Raises :class:`ssl.SSLError`, :class:`ValueError` and :class:`OSError`: unusable files.
        """
        self.cert = cert
        self.ca = ca
        self.context: ssl.SSLContext
        self.expires_at: float
        """Unix time at which the first certificate of the chain ends."""
        self.ca_expires_at: float | None
        self._key = key
        self._options = options
        self._now = now
        self._stamps = self._look()
        self._warned_at = 0.0
        self._read()

    def listening_context(self) -> ssl.SSLContext:
        """Return a context for a listener that keeps it: each handshake takes the newest one."""
        context = server_context(self.cert, self._key, self.ca, self._options)

        def use_newest(handshake: ssl.SSLObject, *_: object) -> None:
            handshake.context = self.context

        context.sni_callback = use_newest
        return context

    @property
    def first_expires_at(self) -> float:
        """Unix time at which the first of all certificates ends, an authority's or the own."""
        return min(self.expires_at, self.ca_expires_at or self.expires_at)

    def check(self) -> None:
        """Read changed files again, and warn of certificates that end soon; cheap if neither is."""
        if self._look() != self._stamps:
            self.reload()
        self._warn()

    def reload(self) -> bool:
        """Read the files again; return False, and log why, if the old ones stay in use."""
        self._stamps = self._look()
        try:
            self._read()
        except (OSError, ValueError) as error:
            logger.error("the old certificate stays in use, %s cannot be: %s", self.cert, error)
            return False
        self._warned_at = 0.0
        logger.info("read %s again", self.cert)
        return True

    def _read(self) -> None:
        context = server_context(self.cert, self._key, self.ca, self._options)
        ends = _end_of(self.cert), None if self.ca is None else _end_of(self.ca)
        self.context, (self.expires_at, self.ca_expires_at) = context, ends

    def _look(self) -> list[Stamp | None]:
        files = (self.cert, self._key, self.ca)
        return [None if path is None else _stamp(path) for path in files]

    def _warn(self) -> None:
        now = self._now()
        left_s = self.expires_at - now
        if left_s < WARNING_DAYS * DAY_S and now - self._warned_at >= DAY_S:
            self._warned_at = now
            if left_s > 0:
                logger.warning("%s expires in %d days", self.cert, left_s // DAY_S)
            else:
                logger.error("%s has expired, clients will refuse it", self.cert)


def _stamp(path: Path) -> Stamp | None:
    """Return what changes with a file; None while it is not there."""
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


def _end_of(path: Path) -> float:
    """Return when the first certificate in a file ends."""
    certificates = x509.load_pem_x509_certificates(path.read_bytes())
    return min(each.not_valid_after_utc.timestamp() for each in certificates)
