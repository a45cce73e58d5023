"""JSON arguments → AMQP tables, as RabbitMQ converts them on import.

An integer becomes an int64 (``l``), a number with a point a double, text a long string. Redeclares
compare integers by value, so a client that says int32 meets an equivalent queue (FEATURES T20).
"""

from __future__ import annotations

from typing import Any, Final

from amqpbroker.definitions.exceptions import DefinitionsError, mismatch
from amqpbroker.wire.table import TABLE_DEPTH_MAX, Field, Table

SHORT_SIZE_MAX: Final = 255
"""Bytes of a name, which is a short string on the wire."""
_INT64: Final = range(-(2**63), 2**63)


def to_table(values: object, path: str) -> Table:
    """Return arguments as a table; RabbitMQ writes an empty one as an empty list, too.

    Raises :class:`DefinitionsError` naming the argument that AMQP cannot carry.
    """
    if values is None or values == []:
        return {}
    if not isinstance(values, dict):
        raise mismatch(path, "an object", values)
    return _to_table(values, path, 0)


def _to_table(values: dict[str, Any], path: str, depth: int) -> Table:
    table: Table = {}
    for name, value in values.items():
        here = f"{path}.{name}"
        if len(encode(name, here)) > SHORT_SIZE_MAX:
            raise mismatch(here, f"a name of at most {SHORT_SIZE_MAX} bytes", name)
        table[name] = _to_field(value, here, depth)
    return table


def _to_field(value: object, path: str, depth: int) -> Field:
    if isinstance(value, bool):
        return Field("t", value)
    if isinstance(value, int):
        if value not in _INT64:
            raise mismatch(path, "an integer of 64 bits", value)
        return Field("l", value)
    if isinstance(value, float):
        return Field("d", value)
    if isinstance(value, str):
        return Field("S", encode(value, path))
    if value is None:
        return Field("V", None)
    if depth >= TABLE_DEPTH_MAX:
        raise DefinitionsError(path, f"expected at most {TABLE_DEPTH_MAX} levels, found more")
    if isinstance(value, list):
        items = enumerate(value)
        return Field("A", tuple(_to_field(item, f"{path}[{i}]", depth + 1) for i, item in items))
    assert isinstance(value, dict), "JSON has nothing else"
    return Field("F", _to_table(value, path, depth + 1))


def encode(text: str, path: str) -> bytes:
    """Return text as it goes over the wire; bytes that are not UTF-8 come as lone surrogates.

    Raises :class:`DefinitionsError`: a surrogate that stands for no byte.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise mismatch(path, "Unicode text", text) from None


def loose(kind: str, value: Any) -> object:
    """Return a value without what JSON cannot tell: two that export alike are equal."""
    if kind == "F":
        return {name: loose(*field) for name, field in value.items()}
    if kind == "A":
        return [loose(*item) for item in value]
    if kind == "D":
        scale, unscaled = value
        return False, unscaled / 10**scale
    return kind == "t", value
