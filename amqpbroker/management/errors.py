"""What the API answers instead of what was asked, in RabbitMQ's words (FEATURES A18).

Leaf code raises an :class:`ApiError`, or lets an :class:`~amqpbroker.errors.AmqpError` through that
the same request over AMQP would have met; ``app`` turns both into answers.
"""

from __future__ import annotations

from typing import Final

from amqpbroker.errors import CODE_NAMES, AmqpError

ACCESS_REFUSED: Final = 403
NOT_FOUND: Final = 404


class ApiError(Exception):
    """An answer with a status that is no success; ``reason`` may be any JSON."""

    def __init__(self, status: int, error: str, reason: object) -> None:
        super().__init__(status, error, reason)
        self.status = status
        self.error = error
        self.reason = reason


def bad_request(reason: object) -> ApiError:
    """Return a 400."""
    return ApiError(400, "bad_request", reason)


def internal_error(reason: object) -> ApiError:
    """Return a 500."""
    return ApiError(500, "internal_server_error", reason)


def not_authorised(reason: str) -> ApiError:
    """Return the 401 of somebody who is known, but may not do this."""
    return ApiError(401, "not_authorised", reason)


def not_found() -> ApiError:
    """Return the 404 of a path that leads nowhere."""
    return ApiError(404, "Object Not Found", "Not Found")


def of_topology(error: AmqpError) -> ApiError:
    """Return what a failed declare, bind, purge or delete is answered with."""
    if error.reply_code == ACCESS_REFUSED:
        return not_authorised("Access refused.")
    if error.reply_code == NOT_FOUND:
        return ApiError(404, "not_found", error.explanation)
    return bad_request(error.explanation)


def of_get(error: AmqpError) -> ApiError:
    """Return what a failed get is answered with."""
    if error.reply_code == ACCESS_REFUSED:
        return not_authorised(f"{CODE_NAMES[error.reply_code]} - {error.explanation}")
    if error.reply_code == NOT_FOUND:
        return ApiError(404, "not_found", f"{CODE_NAMES[error.reply_code]} - {error.explanation}")
    return of_publish(error)


def of_publish(error: AmqpError) -> ApiError:
    """Return what a failed publish is answered with."""
    name = CODE_NAMES[error.reply_code]
    return bad_request(f"{error.reply_code} {name} - {error.explanation}")
