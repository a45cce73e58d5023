"""Kerberos tickets, checked by the package ``gssapi`` and the system's Kerberos library.

The one place that knows the package: an :class:`Acceptor` has our keys and opens a
:class:`TicketContext` for each login by GSSAPI. Two threads may accept at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from amqpbroker.auth.exceptions import AuthenticationFailed

if TYPE_CHECKING:
    from pathlib import Path

_NO_DETAIL: Final = "Success"
"""What MIT's library says where its parser of tokens gives up."""


class Acceptor:
    """Our end of all logins by Kerberos."""

    def __init__(self, service: str, keytab: Path | None = None) -> None:
        """Look for keys of ``service`` on any host, by default in the system's keytab.

        :raises ImportError: the package, or the Kerberos library, is not there.
        :raises ValueError: there are no keys; the text says why.
        """
        self._gssapi: Any = importlib.import_module("gssapi")
        api = self._gssapi
        where = {} if keytab is None else {"store": {"keytab": str(keytab)}}
        try:
            self._credentials = api.Credentials(
                name=api.Name(service, api.NameType.hostbased_service),
                usage="accept",
                mechs=[api.MechType.kerberos],
                **where,
            )
        except api.exceptions.GSSError as error:
            raise ValueError(reason_of(error)) from None

    def open_context(self) -> TicketContext:
        """Return the context of one login."""
        return TicketContext(self._gssapi.raw, self._credentials)


class TicketContext:
    """The server's end of a login; see ``sasl.gssapi.SecurityContext``."""

    def __init__(self, api: Any, credentials: Any) -> None:
        self._api = api
        self._credentials = credentials
        self._context: Any = None
        self.is_complete = False
        self.initiator = self.acceptor = b""

    def accept(self, token: bytes) -> bytes:
        """Return the answer to a token. It reads the keytab and writes the replay cache.

        :raises AuthenticationFailed: no valid ticket for one of our keys.
        """
        api = self._api
        try:
            accepted = api.accept_sec_context(token, self._credentials, self._context)
            self._context = accepted.context
            self.is_complete = not accepted.more_steps
            if self.is_complete:
                names = api.inquire_context(self._context)
                self.initiator = bytes(api.display_name(names.initiator_name, False).name)
                self.acceptor = bytes(api.display_name(names.target_name, False).name)
        except api.GSSError as error:
            raise _refused(error) from None
        return accepted.token or b""

    def wrap(self, message: bytes) -> bytes:
        """Return a message that the client can check, in the clear."""
        return bytes(self._api.wrap(self._context, message, False).message)

    def unwrap(self, message: bytes) -> bytes:
        """Return what the client has wrapped.

        :raises AuthenticationFailed: it has not.
        """
        try:
            return bytes(self._api.unwrap(self._context, message).message)
        except self._api.GSSError as error:
            raise _refused(error) from None


def _refused(error: Any) -> AuthenticationFailed:
    return AuthenticationFailed("", f"Kerberos: {reason_of(error)}")


def reason_of(error: Any) -> str:
    """Return what the library says of a mistake: the detail if it has one.

    The text may have names of the client's in it, which need not be UTF-8.
    """
    code, is_major = (error.min_code, False) if error.min_code else (error.maj_code, True)
    try:
        text = "; ".join(error.get_all_statuses(code, is_major))
        return "the token cannot be read" if text == _NO_DETAIL else text
    except UnicodeDecodeError:
        return f"error {error.maj_code}, {error.min_code}"
