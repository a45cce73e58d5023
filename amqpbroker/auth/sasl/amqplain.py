"""AMQPLAIN: an AMQP table without its length, with LOGIN and PASSWORD (FEATURES A15.2).

Clients send two long strings, but RabbitMQ takes any table around them. This reads just enough of
one: it walks over other values by their size and looks into none.
"""

from __future__ import annotations

from typing import Final

from amqpbroker.auth.sasl.mechanism import Credentials, decode_name
from amqpbroker.errors import HardError, syntax_error

_SIZES: Final = {
    **dict.fromkeys(b"tbB", 1),
    **dict.fromkeys(b"su", 2),
    **dict.fromkeys(b"Iif", 4),
    **dict.fromkeys(b"lLdT", 8),
    ord("D"): 5,
    ord("V"): 0,
}
"""Field type → bytes of a value of fixed size."""
_SIZED: Final = frozenset(b"SxAF")
"""Field types whose value begins with its length."""
_STRINGS: Final = frozenset(b"Sx")


class Amqplain:
    """One step, as PLAIN."""

    def step(self, response: bytes) -> Credentials:
        """Return the claimed name and password.

        :raises HardError: 502, no table, a field is missing, or is no string.
        """
        fields = read_strings(response)
        if "LOGIN" not in fields or "PASSWORD" not in fields:
            raise syntax_error("AMQPLAIN auth info is missing LOGIN or PASSWORD field")
        username, password = fields["LOGIN"], fields["PASSWORD"]
        if username is None or password is None:
            raise syntax_error(
                "AMQPLAIN auth info uses unsupported type for LOGIN or PASSWORD field"
            )
        return Credentials(decode_name(username), password)


def read_strings(table: bytes) -> dict[str, bytes | None]:
    """Return the fields of a table without its length: bytes of strings, None for all others.

    Of two fields with one name the first counts, as on RabbitMQ.

    :raises HardError: 502, not a table.
    """
    fields: dict[str, bytes | None] = {}
    position = 0
    while position < len(table):
        name, position = _take(table, position, 1)
        if position >= len(table):
            raise _malformed()
        kind = table[position]
        position += 1
        if kind in _SIZED:
            value, position = _take(table, position, 4)
        else:
            value, position = b"", position + _size_of(kind)
        if position > len(table):
            raise _malformed()
        fields.setdefault(decode_name(name), value if kind in _STRINGS else None)
    return fields


def _take(table: bytes, position: int, length_size: int) -> tuple[bytes, int]:
    """Return the bytes behind a length of ``length_size`` bytes, and the position after them."""
    start = position + length_size
    end = start + int.from_bytes(table[position:start], "big")
    if end > len(table):
        raise _malformed()
    return table[start:end], end


def _size_of(kind: int) -> int:
    try:
        return _SIZES[kind]
    except KeyError:
        raise _malformed() from None


def _malformed() -> HardError:
    return syntax_error("AMQPLAIN response is not a table")
