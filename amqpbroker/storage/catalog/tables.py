"""The SQL for each kind of row, and the way of its values into SQLite and back.

A name that is no UTF-8 is stored as a BLOB of its bytes in place of a TEXT: SQLite promises
nothing for a TEXT that is not well-formed. The two never compare equal, as it should be.
"""

from __future__ import annotations

from sys import intern
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from amqpbroker.storage.catalog import rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


RowT = TypeVar("RowT", bound=NamedTuple)
"""One of the named tuples in `rows`."""

_REPEATED: Final = frozenset({"vhost", "source", "username", "type", "destination_type"})
"""Columns with few different values among many rows: these are kept once."""


class Table(NamedTuple):
    """One table: what adds or replaces a row, what removes one by its key, and what reads all."""

    put: str
    delete: str
    select: str


def _table(name: str, row: type[NamedTuple], key: str) -> Table:
    return _table_of(name, row._fields, key.split())


def _table_of(name: str, columns: Sequence[str], key: Sequence[str]) -> Table:
    names = ", ".join(columns)
    updates = ", ".join(f"{column} = excluded.{column}" for column in columns if column not in key)
    action = f"UPDATE SET {updates}" if updates else "NOTHING"
    where = " AND ".join(f"{column} = ?" for column in key)
    return Table(
        put=f"INSERT INTO {name} ({names}) VALUES ({', '.join('?' * len(columns))})"
        f" ON CONFLICT ({', '.join(key)}) DO {action}",
        delete=f"DELETE FROM {name} WHERE {where}",
        select=f"SELECT {names} FROM {name}",
    )


def _bindings(destination_type: rows.DestinationType) -> Table:
    name = f"{destination_type}_bindings"
    columns = [column for column in rows.BindingRow._fields if column != "destination_type"]
    selected = ", ".join(rows.BindingRow._fields).replace(
        "destination_type", f"'{destination_type}'"
    )
    return _table_of(name, columns, columns)._replace(select=f"SELECT {selected} FROM {name}")


VHOSTS: Final = _table("vhosts", rows.VHostRow, "name")
USERS: Final = _table("users", rows.UserRow, "name")
PERMISSIONS: Final = _table("permissions", rows.PermissionRow, "vhost username")
TOPIC_PERMISSIONS: Final = _table(
    "topic_permissions", rows.TopicPermissionRow, "vhost username exchange"
)
EXCHANGES: Final = _table("exchanges", rows.ExchangeRow, "vhost name")
QUEUES: Final = _table("queues", rows.QueueRow, "id")
QUEUE_BINDINGS: Final = _bindings("queue")
EXCHANGE_BINDINGS: Final = _bindings("exchange")
_ENDS = (
    "SELECT ?1, ?2, ?3, ?4, ?5 WHERE EXISTS (SELECT 1 FROM {ends} WHERE vhost = ?1 AND name = ?3)"
)
_ENDS += " AND EXISTS (SELECT 1 FROM exchanges WHERE vhost = ?1 AND name = ?2)"
PUT_IF_ENDS: Final = {
    table: table.put.replace("VALUES (?, ?, ?, ?, ?)", _ENDS.format(ends=ends))
    for table, ends in ((QUEUE_BINDINGS, "queues"), (EXCHANGE_BINDINGS, "exchanges"))
}
"""Table → what adds a binding where both ends are there, and does nothing otherwise."""
POLICIES: Final = _table("policies", rows.PolicyRow, "vhost name")
PARAMETERS: Final = _table("parameters", rows.ParameterRow, "vhost component name")
GLOBAL_PARAMETERS: Final = _table("global_parameters", rows.GlobalParameterRow, "name")
COUNTERS: Final = _table_of("counters", ("name", "value"), ["name"])


def bindable(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return ``values`` as SQLite takes them.

    :raises UnicodeEncodeError: a text has surrogates that do not stand for bytes.
    """
    for value in values:
        if isinstance(value, str) and not value.isascii():
            return tuple(map(_bindable, values))
    return values


def _bindable(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode(errors="surrogateescape")
    return value


def rows_of(kind: type[RowT], values: Iterable[tuple[Any, ...]]) -> list[RowT]:
    """Return what was selected as rows. Equal arguments share one object.

    Column by column, so that a million rows take no Python code per row.
    """
    columns = zip(*values, strict=True)
    converted = [_column(name, column) for name, column in zip(kind._fields, columns, strict=True)]
    return list(map(kind._make, zip(*converted, strict=True)))


def _column(name: str, values: Sequence[Any]) -> Iterable[Any]:
    if name.startswith("is_"):
        return map(bool, values)
    if name == "arguments":
        return map({}.setdefault, values, values)
    if bytes in set(map(type, values)):
        values = [
            value.decode(errors="surrogateescape") if isinstance(value, bytes) else value
            for value in values
        ]
    return map(intern, values) if name in _REPEATED else values
