"""A binding: from a source exchange to a queue or exchange, under a key and arguments.

Two bindings are the same if source, destination, key and arguments are (FEATURES A3.10), so a
binding is a hashable value and its arguments are frozen: sorted by name, tables and arrays as
tuples all the way down. Kinds count, and so does the order of a table inside the arguments:
``("I", 1)`` and ``("l", 1)`` make two bindings, as on RabbitMQ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

FieldValue: TypeAlias = tuple[str, Any]
"""One AMQP value: (kind, value), the kind being the one-letter field type."""

Table: TypeAlias = Mapping[str, FieldValue]
"""A decoded AMQP table."""

FrozenTable: TypeAlias = tuple[tuple[str, FieldValue], ...]
"""A table that can be hashed: (name, (kind, value)) pairs, sorted by name."""


class Destination(NamedTuple):
    """Where a binding leads."""

    kind: Literal["queue", "exchange"]
    name: str


def freeze_value(kind: str, value: Any) -> Any:
    """Return a value that can be hashed: tables and arrays become tuples, others stay."""
    if kind == "F":
        return tuple((name, freeze_field(field)) for name, field in value.items())
    if kind == "A":
        return tuple((k, freeze_value(k, v)) for k, v in value)
    return value


def freeze_arguments(table: Table) -> FrozenTable:
    """Return a binding's arguments as a sorted tuple that can be hashed."""
    return tuple((name, freeze_field(table[name])) for name in sorted(table))


def freeze_field(field: FieldValue) -> FieldValue:
    """Return a (kind, value) pair that can be hashed."""
    kind, value = field
    return kind, freeze_value(kind, value)


def thaw_value(kind: str, value: Any) -> Any:
    """Return what :func:`freeze_value` was given."""
    if kind == "F":
        return thaw_arguments(value)
    if kind == "A":
        return tuple((k, thaw_value(k, v)) for k, v in value)
    return value


def thaw_arguments(frozen: FrozenTable) -> dict[str, FieldValue]:
    """Return the table that :func:`freeze_arguments` was given, its fields sorted by name."""
    return {name: (kind, thaw_value(kind, value)) for name, (kind, value) in frozen}


@dataclass(frozen=True, slots=True)
class Binding:
    """One binding of ``source``; equal bindings are one binding."""

    source: str
    destination: Destination
    binding_key: str
    arguments: FrozenTable = ()

    def argument(self, name: str) -> FieldValue | None:
        """Return the (kind, value) of an argument, or None."""
        return next((field for key, field in self.arguments if key == name), None)
