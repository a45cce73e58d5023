"""The exceptions of the user database and of a login.

::

    AuthenticationFailed   a login was refused; the reason is for the log alone
    HttpFailed             a request to somebody else has no usable answer
    UserError
    ├── NoSuchUser
    ├── UserExists
    └── InvalidRegexp      a permission that does not compile

None of them carries a reply code. :func:`login_refused` makes the one text a client may see.
"""

from __future__ import annotations

from amqpbroker.errors import HardError


class AuthenticationFailed(Exception):
    """A login was refused: ``reason`` goes to the log and never to the client (FEATURES A1.7)."""

    def __init__(self, username: str, reason: str) -> None:
        super().__init__(username, reason)
        self.username = username
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class HttpFailed(Exception):
    """No usable answer to an HTTP request; the text says why, without the request."""


class UserError(Exception):
    """A change of the user database that cannot be made."""


class NoSuchUser(UserError):
    """No user of this name."""

    def __init__(self, username: str) -> None:
        super().__init__(f"no user '{username}'")
        self.username = username


class UserExists(UserError):
    """A user of this name is there already."""

    def __init__(self, username: str) -> None:
        super().__init__(f"user '{username}' already exists")
        self.username = username


class InvalidRegexp(UserError):
    """A permission is not a regular expression that can be run here."""

    def __init__(self, pattern: str, reason: str) -> None:
        super().__init__(f"invalid regexp '{pattern}': {reason}")
        self.pattern = pattern
        self.reason = reason


def login_refused(mechanism: str) -> HardError:
    """Return what a client is told when a login fails: the same text for every reason.

    As RabbitMQ, for clients with the capability ``authentication_failure_close``; the others see
    their connection closed without a word (FEATURES A1.7).
    """
    return HardError(
        403,
        f"Login was refused using authentication mechanism {mechanism}. "
        "For details see the broker logfile.",
    )
