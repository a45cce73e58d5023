"""PLAIN (RFC 4616): NUL user NUL password."""

from __future__ import annotations

from amqpbroker.auth.sasl.mechanism import Credentials, decode_name
from amqpbroker.errors import syntax_error


class Plain:
    """The leading authorisation identity must be empty, as in RabbitMQ (FEATURES A15.1)."""

    def step(self, response: bytes) -> Credentials:
        """Return the claimed name and password.

        :raises HardError: 502, not exactly ``\\0user\\0password``. RabbitMQ repeats the response in
            the text; a mistyped login has a password in it, so we do not.
        """
        parts = response.split(b"\0")
        if len(parts) != 3 or parts[0]:
            raise syntax_error("PLAIN response is not NUL user NUL password")
        return Credentials(decode_name(parts[1]), parts[2])
