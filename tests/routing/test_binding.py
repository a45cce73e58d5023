"""Bindings are values: equal ones are one, and arguments survive freezing."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.routing.binding import Binding, Destination, freeze_arguments, thaw_arguments

SCALARS = st.one_of(
    st.tuples(st.just("t"), st.booleans()),
    st.tuples(st.sampled_from("bsIlT"), st.integers(-2, 2)),
    st.tuples(st.just("d"), st.floats(allow_nan=False)),
    st.tuples(st.sampled_from("Sx"), st.binary(max_size=3)),
    st.just(("V", None)),
    st.tuples(st.just("D"), st.tuples(st.integers(0, 9), st.integers(0, 99))),
)
NAMES = st.text(max_size=2)
FIELDS = st.recursive(
    SCALARS,
    lambda fields: st.one_of(
        st.tuples(st.just("A"), st.lists(fields, max_size=3).map(tuple)),
        st.tuples(st.just("F"), st.dictionaries(NAMES, fields, max_size=3)),
    ),
    max_leaves=6,
)
TABLES = st.dictionaries(NAMES, FIELDS, max_size=4)


def binding(table: dict[str, tuple[str, Any]]) -> Binding:
    return Binding("x", Destination("queue", "q"), "k", freeze_arguments(table))


@given(TABLES)
def test_frozen_arguments_can_be_hashed_and_thawed(table: dict[str, tuple[str, Any]]) -> None:
    frozen = freeze_arguments(table)
    assert hash(frozen) == hash(freeze_arguments(dict(reversed(table.items()))))
    assert thaw_arguments(frozen) == table
    assert [name for name, _ in frozen] == sorted(table)


def test_the_order_of_arguments_does_not_count() -> None:
    one, two = ("I", 1), ("I", 2)
    assert binding({"a": one, "b": two}) == binding({"b": two, "a": one})


def test_the_kind_of_an_argument_counts() -> None:
    kinds = [("I", 1), ("l", 1), ("d", 1.0), ("t", True)]
    assert len({binding({"a": field}) for field in kinds}) == 4


def test_the_order_inside_a_nested_table_counts() -> None:
    one, two = ("I", 1), ("I", 2)
    tables = [{"a": one, "b": two}, {"b": two, "a": one}]
    assert len({binding({"t": ("F", table)}) for table in tables}) == 2


def test_an_argument_is_found_by_name() -> None:
    bound = binding({"x-match": ("S", b"any"), "a": ("I", 1)})
    assert bound.argument("x-match") == ("S", b"any")
    assert bound.argument("b") is None
