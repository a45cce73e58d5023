"""What a new password must be like; old ones, and hashes, are not looked at (FEATURES A15.14).

https://www.rabbitmq.com/docs/passwords#credential-validation
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

ACCEPT_EVERYTHING: Final = "rabbit_credential_validator_accept_everything"
MIN_LENGTH: Final = "rabbit_credential_validator_min_password_length"
REGEXP: Final = "rabbit_credential_validator_password_regexp"


class CredentialValidator(NamedTuple):
    """One of RabbitMQ's validators, named as its module."""

    backend: str = ACCEPT_EVERYTHING
    min_length: int = 5
    """Bytes."""
    regexp: str = ""
    """Looked for anywhere in the password."""

    def mistake(self, password: str) -> str | None:
        """Return what is wrong with a password in RabbitMQ's words, None if it will do."""
        if self.backend == MIN_LENGTH:
            size = len(password.encode("utf-8", "surrogateescape"))
            if size < self.min_length:
                return f"minimum required password length is {self.min_length}"
        elif self.backend == REGEXP and re.search(self.regexp, password) is None:
            return "provided password does not match the validator regular expression"
        return None
