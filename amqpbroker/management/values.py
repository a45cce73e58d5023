"""JSON ↔ AMQP tables.

JSON knows fewer kinds than AMQP: an integer becomes an int64 (``l``), a number with a point a
double, text a long string. The way back keeps the value and loses the kind, as on RabbitMQ.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from amqpbroker.management.errors import bad_request
from amqpbroker.wire.table import TABLE_DEPTH_MAX, Field, Table

if TYPE_CHECKING:
    from collections.abc import Mapping

_INT64: Final = range(-(2**63), 2**63)


def to_table(values: Mapping[str, Any]) -> Table:
    """Return JSON values as an AMQP table.

    Raises :class:`~amqpbroker.management.errors.ApiError` 400 for null, for integers that do not
    fit into 64 bits, and for what is nested too deeply.
    """
    return _to_table(values, 0)


def _to_table(values: Mapping[str, Any], depth: int) -> Table:
    return {name: _to_field(value, depth) for name, value in values.items()}


def _to_field(value: Any, depth: int) -> Field:
    if depth > TABLE_DEPTH_MAX:
        raise bad_request("nested too deeply")
    if value is None:
        raise bad_request("null_not_allowed")
    if isinstance(value, bool):
        return Field("t", value)
    if isinstance(value, int):
        if value not in _INT64:
            raise bad_request(["integer_out_of_range", value])
        return Field("l", value)
    if isinstance(value, float):
        return Field("d", value)
    if isinstance(value, str):
        return Field("S", value.encode("utf-8", "surrogatepass"))
    if isinstance(value, list):
        return Field("A", tuple(_to_field(item, depth + 1) for item in value))
    return Field("F", _to_table(value, depth + 1))


def as_table(pairs: Mapping[str, tuple[str, Any]]) -> Table:
    """Return a table of plain pairs, as bindings keep it, as the wire has it."""
    return {name: Field(kind, value) for name, (kind, value) in pairs.items()}


def to_json(table: Mapping[str, tuple[str, Any]]) -> dict[str, Any]:
    """Return an AMQP table as JSON values."""
    return {name: field_to_json(kind, value) for name, (kind, value) in table.items()}


def field_to_json(kind: str, value: Any) -> Any:
    """Return one AMQP field as a JSON value."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if kind == "F":
        return to_json(value)
    if kind == "A":
        return [field_to_json(item_kind, item) for item_kind, item in value]
    if kind == "D":
        scale, unscaled = value
        return unscaled / 10**scale
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
