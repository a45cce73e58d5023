"""JSON and AMQP tables."""

from __future__ import annotations

import json
from typing import Any

import pytest

from amqpbroker.management.errors import ApiError
from amqpbroker.management.values import as_table, field_to_json, to_json, to_table
from amqpbroker.wire.table import Field, decode_table, encode_table

VALUES: dict[str, Any] = {
    "int": -(2**63),
    "float": 1.5,
    "flag": False,
    "text": "é",
    "list": [1, "x", [], {}],
    "table": {"nested": {"deep": True}},
}


def test_json_comes_back_as_it_was() -> None:
    assert to_json(to_table(VALUES)) == VALUES


def test_tables_made_of_json_can_be_encoded() -> None:
    table = to_table(VALUES)
    assert decode_table(encode_table(table)[4:]) == table


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (1, Field("l", 1)),
        (True, Field("t", True)),
        (1.0, Field("d", 1.0)),
        ("a", Field("S", b"a")),
        ([1], Field("A", (Field("l", 1),))),
    ],
)
def test_kinds(value: object, field: Field) -> None:
    assert to_table({"k": value}) == {"k": field}


@pytest.mark.parametrize("value", [None, [None], {"k": None}, 2**63])
def test_what_amqp_has_not_is_refused(value: object) -> None:
    with pytest.raises(ApiError) as caught:
        to_table({"k": value})
    assert caught.value.status == 400


def test_what_is_nested_too_deeply_is_refused() -> None:
    value: object = 1
    for _ in range(500):
        value = [value]
    with pytest.raises(ApiError, match="nested too deeply"):
        to_table({"k": value})


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        ("D", (2, 314), 3.14),
        ("T", 1_600_000_000, 1_600_000_000),
        ("V", None, None),
        ("x", b"\xff", "\udcff"),
        ("d", float("inf"), "inf"),
    ],
)
def test_kinds_that_json_has_not(kind: str, value: object, shown: object) -> None:
    assert field_to_json(kind, value) == shown
    assert json.loads(json.dumps(shown, allow_nan=False)) == shown


def test_plain_pairs_become_fields() -> None:
    assert as_table({"k": ("I", 1)}) == {"k": Field("I", 1)}
