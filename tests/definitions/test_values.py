"""JSON arguments become AMQP tables as on RabbitMQ."""

from __future__ import annotations

from typing import Any

import pytest

from amqpbroker.definitions.exceptions import DefinitionsError
from amqpbroker.definitions.values import encode, loose, to_table
from amqpbroker.wire.table import TABLE_DEPTH_MAX


def test_each_kind_of_json() -> None:
    values = {"i": 1, "d": 1.0, "t": True, "s": "ä", "v": None, "a": [1, "x"], "f": {"n": -1}}
    assert to_table(values, "p") == {
        "i": ("l", 1),
        "d": ("d", 1.0),
        "t": ("t", True),
        "s": ("S", "ä".encode()),
        "v": ("V", None),
        "a": ("A", (("l", 1), ("S", b"x"))),
        "f": ("F", {"n": ("l", -1)}),
    }


@pytest.mark.parametrize("empty", [None, [], {}])
def test_no_arguments(empty: object) -> None:
    assert to_table(empty, "p") == {}


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ([1], "p"),
        ({"a": {"b": [0, 2**63]}}, "p.a.b[1]"),
        ({"n" * 256: 1}, f"p.{'n' * 256}"),
        ({"a": "\ud800"}, "p.a"),
        ({"a": nested(TABLE_DEPTH_MAX + 1)}, "p.a" + "[0]" * TABLE_DEPTH_MAX),
    ],
)
def test_what_amqp_cannot_carry_is_named(values: object, path: str) -> None:
    with pytest.raises(DefinitionsError) as caught:
        to_table(values, "p")
    assert caught.value.path == path


def test_bytes_that_are_not_utf8_survive() -> None:
    assert encode("a\udcff", "p") == b"a\xff"


def test_values_that_export_alike_are_equal() -> None:
    short = {"a": ("I", 1), "b": ("A", (("D", (1, 15)),)), "c": ("x", b"z")}
    long = {"a": ("l", 1), "b": ("A", (("d", 1.5),)), "c": ("S", b"z")}
    assert loose("F", short) == loose("F", long)
    assert loose("t", True) != loose("l", 1)
