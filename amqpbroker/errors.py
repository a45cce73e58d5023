"""The exceptions that carry an AMQP reply code to the client.

::

    AmqpError
    ├── SoftError   closes the channel      (311 312 313 403 404 405 406)
    └── HardError   closes the connection   (320 402 501 502 503 504 505 506 530 540 541)

Soft and hard are the spec's own words (amqp0-9-1.xml, ``<constant class="soft-error">``).
Leaf code raises one of them; a single place, the connection's handler loop, turns them into
``channel.close`` or ``connection.close``. A reply text is ``CODE_NAME - explanation`` as on
RabbitMQ, cut to 255 bytes, the last three of them dots (FEATURES A2.4, T29).
"""

from __future__ import annotations

from typing import Final

REPLY_TEXT_SIZE_MAX: Final = 255
"""Bytes: a reply text is a short string."""

CODE_NAMES: Final[dict[int, str]] = {
    311: "CONTENT_TOO_LARGE",
    312: "NO_ROUTE",
    313: "NO_CONSUMERS",
    320: "CONNECTION_FORCED",
    402: "INVALID_PATH",
    403: "ACCESS_REFUSED",
    404: "NOT_FOUND",
    405: "RESOURCE_LOCKED",
    406: "PRECONDITION_FAILED",
    501: "FRAME_ERROR",
    502: "SYNTAX_ERROR",
    503: "COMMAND_INVALID",
    504: "CHANNEL_ERROR",
    505: "UNEXPECTED_FRAME",
    506: "RESOURCE_ERROR",
    530: "NOT_ALLOWED",
    540: "NOT_IMPLEMENTED",
    541: "INTERNAL_ERROR",
}


def cut_text(text: str, size_max: int = REPLY_TEXT_SIZE_MAX) -> str:
    """Return ``text`` cut to ``size_max`` bytes of UTF-8, never inside a character."""
    data = text.encode("utf-8", "surrogateescape")
    if len(data) <= size_max:
        return text
    stop = size_max - 3
    while stop and data[stop] & 0xC0 == 0x80:
        stop -= 1
    return data[:stop].decode("utf-8", "surrogateescape") + "..."


class AmqpError(Exception):
    """An error that the client is told as a reply code and a text."""

    def __init__(self, reply_code: int, explanation: str) -> None:
        super().__init__(reply_code, explanation)
        self.reply_code = reply_code
        self.explanation = explanation
        self.failing: tuple[int, int] = (0, 0)
        """Class and method id of the method that failed, (0, 0) if none did."""

    @property
    def reply_text(self) -> str:
        """The text as RabbitMQ words it: ``NOT_FOUND - no queue 'q' in vhost '/'``."""
        return cut_text(f"{CODE_NAMES[self.reply_code]} - {self.explanation}")

    def __str__(self) -> str:
        return f"{self.reply_code} {self.reply_text}"


class SoftError(AmqpError):
    """Closes the channel."""


class HardError(AmqpError):
    """Closes the connection."""


def access_refused(explanation: str) -> SoftError:
    """Return a 403 on the channel."""
    return SoftError(403, explanation)


def not_found(explanation: str) -> SoftError:
    """Return a 404."""
    return SoftError(404, explanation)


def resource_locked(explanation: str) -> SoftError:
    """Return a 405."""
    return SoftError(405, explanation)


def precondition_failed(explanation: str) -> SoftError:
    """Return a 406."""
    return SoftError(406, explanation)


def frame_error(explanation: str) -> HardError:
    """Return a 501."""
    return HardError(501, explanation)


def syntax_error(explanation: str) -> HardError:
    """Return a 502."""
    return HardError(502, explanation)


def command_invalid(explanation: str) -> HardError:
    """Return a 503."""
    return HardError(503, explanation)


def channel_error(explanation: str) -> HardError:
    """Return a 504."""
    return HardError(504, explanation)


def unexpected_frame(explanation: str) -> HardError:
    """Return a 505."""
    return HardError(505, explanation)


def not_allowed(explanation: str) -> HardError:
    """Return a 530."""
    return HardError(530, explanation)


def not_implemented(explanation: str) -> HardError:
    """Return a 540."""
    return HardError(540, explanation)


def internal_error(explanation: str) -> HardError:
    """Return a 541."""
    return HardError(541, explanation)
