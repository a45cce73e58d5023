"""How RabbitMQ prints bytes in its error texts, which tools and people search for (T29)."""

from __future__ import annotations

from typing import Final

SNIPPET_SIZE_MAX: Final = 16
"""Bytes of a payload that a frame error shows, as in RabbitMQ."""

_ESCAPES: Final = {8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r"} | {
    27: "\\e",
    34: '\\"',
    92: "\\\\",
}


def format_binary(data: bytes) -> str:
    """Return ``data`` as Erlang's ``~p`` shows a binary: ``<<"text">>`` or ``<<1,2,3>>``.

    Erlang takes the bytes from 160 on for Latin-1 text and writes them as they are; here they make
    numbers, so that a reply text is always UTF-8, which many clients insist on.
    """
    if data and all(32 <= byte < 127 or byte in _ESCAPES for byte in data):
        return '<<"' + "".join(_ESCAPES.get(byte, chr(byte)) for byte in data) + '">>'
    return format_octets(data)


def format_octets(data: bytes) -> str:
    """Return ``data`` as Erlang's ``~w`` shows a binary: ``<<1,2,3>>``."""
    return "<<" + ",".join(map(str, data)) + ">>"


def format_frame(kind: int, payload: bytes) -> str:
    """Return the description of a frame in RabbitMQ's frame errors."""
    share = "all" if len(payload) <= SNIPPET_SIZE_MAX else f"first {SNIPPET_SIZE_MAX}"
    return f"type {kind}, {share} octets = {format_binary(payload[:SNIPPET_SIZE_MAX])}"
