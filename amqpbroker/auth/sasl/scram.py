"""SCRAM-SHA-256 and -512 (RFC 5802, RFC 7677): our extension on AMQP (FEATURES A15.5, S161).

AMQP 0-9-1 has no place for a server's last word in connection.tune, so it goes in a second
connection.secure, which the client answers with nothing (RFC 4422, 3.6)::

    client                                          server
    start-ok   n,,n=user,r=nonce             →
                                             ←      secure  r=…,s=salt,i=iterations
    secure-ok  c=…,r=…,p=proof               →
                                             ←      secure  v=signature
    secure-ok  (empty)                       →
                                             ←      tune

A user without keys, or none at all, gets a salt like any other and fails at the proof: the first
answer does not tell who exists. The server computes no PBKDF2, so a login costs well under 1 ms.
"""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING, Any, Final

from amqpbroker.auth.exceptions import AuthenticationFailed
from amqpbroker.auth.sasl.mechanism import Challenge, StoredIdentity
from amqpbroker.auth.scram_keys import ScramKeys, find_scram_keys
from amqpbroker.errors import syntax_error

if TYPE_CHECKING:
    from amqpbroker.auth.sasl.mechanism import Context

_DECOY_SALT_SIZE: Final = 32
"""Bytes, as many as scramp takes for a real one."""


def decoy_keys(key: bytes, username: str, iterations: int) -> ScramKeys:
    """Return keys that no password fits, with the same salt for a name as long as ``key`` lasts."""
    salt = hmac.digest(key, username.encode("utf-8", "surrogateescape"), "sha256")
    return ScramKeys(salt[:_DECOY_SALT_SIZE], secrets.token_bytes(32), bytes(32), iterations)


class Scram:
    """One login; three steps."""

    def __init__(self, context: Context, mechanism: str) -> None:
        import scramp  # type: ignore[import-untyped]  # see scram_keys.load_scramp

        self._context = context
        self._mechanism = mechanism
        self._username = ""
        self._exchange = scramp.ScramMechanism(mechanism).make_server(self._keys_of)
        self._scramp: Any = scramp
        self._next = self._first

    def step(self, response: bytes) -> Challenge | StoredIdentity:
        """Return the next challenge, or who it was.

        :raises HardError: 502, not a SCRAM message, or it asks for channel binding.
        :raises AuthenticationFailed: the proof is wrong.
        """
        return self._next(response)

    def _first(self, response: bytes) -> Challenge | StoredIdentity:
        self._take(self._exchange.set_client_first, response)
        self._next = self._final
        return Challenge(self._exchange.get_server_first().encode())

    def _final(self, response: bytes) -> Challenge | StoredIdentity:
        self._take(self._exchange.set_client_final, response)
        self._next = self._acknowledged
        return Challenge(self._exchange.get_server_final().encode())

    def _acknowledged(self, response: bytes) -> Challenge | StoredIdentity:
        if response:
            raise syntax_error(f"{self._mechanism} response is invalid")
        return StoredIdentity(self._username)

    def _take(self, method: Any, response: bytes) -> None:
        """Hand a message to scramp, which raises one exception for everything."""
        try:
            method(response.decode())
        except self._scramp.ScramException as error:
            if error.server_error is not None and error.server_error.value == "invalid-proof":
                reason = f"user '{self._username}' - invalid credentials"
                raise AuthenticationFailed(self._username, reason) from None
            raise syntax_error(f"{self._mechanism} response is invalid") from None
        except UnicodeDecodeError:
            raise syntax_error(f"{self._mechanism} response is invalid") from None

    def _keys_of(self, username: str) -> ScramKeys:
        self._username = username
        user = self._context.store.users.get(username)
        keys = find_scram_keys(user.scram_keys, self._mechanism) if user else None
        if keys is None:
            store = self._context.store
            return decoy_keys(store.decoy_key, username, store.passwords.scram_iterations)
        return keys
