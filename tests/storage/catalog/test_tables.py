"""The SQL of the tables, and the values that SQLite does not take as they are."""

from __future__ import annotations

import pytest

from amqpbroker.storage.catalog.rows import GlobalParameterRow, QueueRow
from amqpbroker.storage.catalog.tables import QUEUE_BINDINGS, QUEUES, bindable, rows_of
from tests.storage.catalog.samples import SOURCE, TO_QUEUE, VHOST, opened, queue

NAMES = ["", "grün", "a\0b", "a", "\udcff\udc80", "\udcc3", "ÿ"]


def test_put_replaces_what_has_the_key() -> None:
    assert QUEUES.put == (
        "INSERT INTO queues (id, vhost, name, is_auto_delete, arguments) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET vhost = excluded.vhost, name = excluded.name,"
        " is_auto_delete = excluded.is_auto_delete, arguments = excluded.arguments"
    )
    assert QUEUES.delete == "DELETE FROM queues WHERE id = ?"
    assert QUEUE_BINDINGS.put.endswith("DO NOTHING")


def test_text_that_is_utf_8_stays_text() -> None:
    assert bindable(("a", "grün", 1, b"\xff", None)) == ("a", "grün", 1, b"\xff", None)


def test_text_that_is_no_utf_8_becomes_its_bytes() -> None:
    assert bindable(("a", "\udcff")) == ("a", b"\xff")


def test_text_that_stands_for_no_bytes_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        bindable(("\ud800",))


async def test_any_name_comes_back() -> None:
    async with opened() as catalog:
        catalog.put_vhost(VHOST)
        catalog.put_exchange(SOURCE)
        for name in NAMES:
            catalog.put_queue(queue(catalog, name))
            ticket = catalog.put_binding(TO_QUEUE._replace(destination=name, binding_key=name))
        await ticket.wait()
        snapshot = await catalog.load()
        assert [row.name for row in snapshot.queues] == NAMES
        assert sorted(row.binding_key for row in snapshot.bindings) == sorted(NAMES)
        for row in snapshot.bindings:
            ticket = catalog.delete_binding(row)
        await ticket.wait()
        assert (await catalog.load()).bindings == []


def test_what_repeats_is_kept_once() -> None:
    values = [(n, "".join(["/", "v"]), str(n), 1, bytes([0, 1, 2])) for n in range(3)]
    found = rows_of(QueueRow, values)
    assert found[2] == QueueRow(2, "/v", "2", True, b"\0\1\2")
    assert len({id(row.vhost) for row in found}) == 1
    assert len({id(row.arguments) for row in found}) == 1


def test_no_values_are_no_rows() -> None:
    assert rows_of(GlobalParameterRow, [("n", b"\xff")]) == [GlobalParameterRow("n", "\udcff")]
