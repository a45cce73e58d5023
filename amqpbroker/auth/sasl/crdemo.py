"""RABBIT-CR-DEMO: RabbitMQ's demonstration of a challenge. It hides nothing; off by default."""

from __future__ import annotations

from typing import Final

from amqpbroker.auth.sasl.mechanism import Challenge, Credentials, decode_name
from amqpbroker.errors import syntax_error

QUESTION: Final = b"Please tell me your password"
ANSWER: Final = b"My password is "


class CrDemo:
    """Two steps: the name, then ``My password is …``."""

    def __init__(self) -> None:
        self._username: str | None = None

    def step(self, response: bytes) -> Challenge | Credentials:
        """Ask for the password, then return both.

        :raises HardError: 502, another answer.
        """
        if self._username is None:
            self._username = decode_name(response)
            return Challenge(QUESTION)
        if not response.startswith(ANSWER):
            raise syntax_error("RABBIT-CR-DEMO response is invalid")
        return Credentials(self._username, response.removeprefix(ANSWER))
