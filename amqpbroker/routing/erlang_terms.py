"""AMQP values as RabbitMQ words them in error texts.

RabbitMQ prints a rejected value as an Erlang term, and client libraries' test suites compare
the text, so ``b"foo"`` must read ``<<"foo">>`` and a 32-bit integer must be a ``signedint``.
"""

from __future__ import annotations

from typing import Any, Final

KIND_NAMES: Final[dict[str, str]] = {
    "t": "bool",
    "b": "byte",
    "B": "unsignedbyte",
    "s": "short",
    "u": "unsignedshort",
    "I": "signedint",
    "i": "unsignedint",
    "l": "long",
    "L": "long",
    "f": "float",
    "d": "double",
    "D": "decimal",
    "S": "longstr",
    "x": "binary",
    "A": "array",
    "T": "timestamp",
    "F": "table",
    "V": "void",
}
"""RabbitMQ's name of each one-letter field kind."""

_ESCAPES: Final = {
    0x08: rb"\b",
    0x09: rb"\t",
    0x0A: rb"\n",
    0x0B: rb"\v",
    0x0C: rb"\f",
    0x0D: rb"\r",
    0x1B: rb"\e",
    0x22: rb"\"",
    0x5C: rb"\\",
}
_PRINTABLE: Final = frozenset(_ESCAPES) | set(range(0x20, 0x7F)) | set(range(0xA0, 0x100))
"""What Erlang shows as characters: printable Latin-1."""


def print_binary(data: bytes) -> str:
    """Return ``data`` as ``<<"text">>``, or as ``<<0,159>>`` if a byte is not printable."""
    if not data:
        return "<<>>"
    if not _PRINTABLE.issuperset(data):
        return f"<<{','.join(map(str, data))}>>"
    text = b"".join(_ESCAPES.get(byte, bytes((byte,))) for byte in data)
    return f'<<"{text.decode("utf-8", "surrogateescape")}">>'


def print_key(key: str) -> str:
    """Return a name or key as :func:`print_binary` prints its bytes."""
    return print_binary(key.encode("utf-8", "surrogateescape"))


def print_value(kind: str, value: Any) -> str:
    """Return a typed value as an Erlang term, without the name of its own kind."""
    match kind:
        case "t":
            return "true" if value else "false"
        case "V":
            return "undefined"
        case "S" | "x":
            return print_binary(value)
        case "A":
            items = [f"{{{KIND_NAMES[k]},{print_value(k, v)}}}" for k, v in value]
            return f"[{','.join(items)}]"
        case "F":
            fields = [
                f"{{{print_key(name)},{KIND_NAMES[k]},{print_value(k, v)}}}"
                for name, (k, v) in value.items()
            ]
            return f"[{','.join(fields)}]"
        case "D":
            return f"{{{value[0]},{value[1]}}}"
        case _:
            return str(value)
