"""GSSAPI (RFC 4752): a Kerberos ticket says who it is. Our extension on AMQP (A15.5, S161).

Every token of the server is a challenge, and so is the offer of security layers at the end::

    client                                          server
    start-ok   token                         →
                                             ←      secure  token: the server proves itself
    secure-ok  (empty)                       →
                                             ←      secure  wrapped: the layers on offer
    secure-ok  wrapped: the layer, for whom  →
                                             ←      tune

The only layer on offer is none: AMQP has no frames for another, and there is TLS. A client that
does not ask for a proof gets the offer at once; one that sends no first token is asked for it.

Accepting a token reads the keytab and writes the replay cache, so that is :class:`Work`.
"""

from __future__ import annotations

import struct
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from amqpbroker.auth.exceptions import AuthenticationFailed
from amqpbroker.auth.sasl.mechanism import Challenge, Identity, Work, decode_name
from amqpbroker.errors import HardError, syntax_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from amqpbroker.auth.sasl.mechanism import Context, Step

NO_LAYER: Final = 1
_OFFER: Final = struct.pack(">I", NO_LAYER << 24)
"""The layers as bits, and the size of the largest message in one, which is 0 without a layer."""


class SecurityContext(Protocol):
    """The server's end of a GSS-API context; what it raises is for the log."""

    is_complete: bool
    initiator: bytes
    """The client's principal, once complete: ``ann@EXAMPLE.COM``."""
    acceptor: bytes
    """Ours: ``amqp/host.example.com@EXAMPLE.COM``."""

    def accept(self, token: bytes) -> bytes:
        """Return the answer to a token; none is empty. It may block.

        :raises AuthenticationFailed: no valid ticket for us.
        """

    def wrap(self, message: bytes) -> bytes:
        """Return a message that the client can check, in the clear."""

    def unwrap(self, message: bytes) -> bytes:
        """Return what the client has wrapped.

        :raises AuthenticationFailed: it has not.
        """


class GssapiLogin(NamedTuple):
    """What GSSAPI needs to be offered. Without ``realms`` only that of our own key counts."""

    open_context: Callable[[], SecurityContext]
    realms: frozenset[str] = frozenset()


def is_offered(context: Context) -> bool:
    """Return whether there are keys to accept tickets with."""
    return context.settings.gssapi is not None


def split_principal(principal: bytes) -> tuple[str, str]:
    """Return the name and the realm; ``ann/admin`` is another name than ``ann``.

    :raises AuthenticationFailed: it has no realm, or an escaped character: there two principals
        could look like one.
    """
    name, _, realm = decode_name(principal).rpartition("@")
    if not name or not realm or "\\" in name or "\\" in realm:
        raise AuthenticationFailed("", f"no user can be made of principal '{name}@{realm}'")
    return name, realm


class Gssapi:
    """One login; two steps at least, one of them blocking."""

    def __init__(self, context: Context) -> None:
        login = context.settings.gssapi
        assert login is not None
        self._security = login.open_context()
        self._realms = login.realms
        self._username = ""
        self._is_begun = False
        self._next = self._negotiate

    def step(self, response: bytes) -> Step:
        """Return the next challenge, or who it is.

        :raises HardError: 502, an answer that GSSAPI does not have.
        :raises AuthenticationFailed: the ticket is no good, of another realm, or for somebody else.
        """
        return self._next(response)

    def _negotiate(self, response: bytes) -> Step:
        if not response and not self._is_begun:
            self._is_begun = True
            return Challenge(b"")
        self._is_begun = True
        return Work(partial(self._accept, response))

    def _accept(self, token: bytes) -> Step:
        answer = self._security.accept(token)
        if not self._security.is_complete:
            return Challenge(answer)
        self._username = self._admitted()
        if not answer:
            return self._offer(b"")
        self._next = self._offer
        return Challenge(answer)

    def _admitted(self) -> str:
        """Return the user's name if it is of a realm that counts."""
        name, realm = split_principal(self._security.initiator)
        realms = self._realms or {split_principal(self._security.acceptor)[1]}
        if realm not in realms:
            raise AuthenticationFailed(name, f"principal '{name}@{realm}' is of another realm")
        return name

    def _offer(self, response: bytes) -> Step:
        if response:
            raise _malformed()
        self._next = self._conclude
        return Challenge(self._security.wrap(_OFFER))

    def _conclude(self, response: bytes) -> Step:
        chosen = self._security.unwrap(response)
        if len(chosen) < len(_OFFER) or chosen[0] != NO_LAYER:
            raise _malformed()
        wanted = decode_name(chosen[len(_OFFER) :])
        # Some clients repeat who they are, and some the whole principal.
        if wanted not in ("", self._username, decode_name(self._security.initiator)):
            reason = f"user '{self._username}' wants to be '{wanted}'"
            raise AuthenticationFailed(self._username, reason)
        return Identity(self._username)


def _malformed() -> HardError:
    return syntax_error("GSSAPI response is invalid")
