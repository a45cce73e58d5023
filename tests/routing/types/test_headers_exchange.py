"""The headers exchange against a brute-force twin and against RabbitMQ 3.10.8."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.errors import SoftError
from amqpbroker.routing.binding import Binding, Destination, freeze_arguments
from tests.routing.samples import PlainMessage, exchange_of, queues_of

Field = tuple[str, Any]
Fields = dict[str, Field]

VALUES: Final[dict[str, Field]] = {
    "I1": ("I", 1),
    "l1": ("l", 1),
    "d1": ("d", 1.0),
    "f1": ("f", 1.0),
    "b1": ("b", 1),
    "T1": ("T", 1),
    "true": ("t", True),
    "false": ("t", False),
    "I0": ("I", 0),
    "S'a'": ("S", b"a"),
    "x'a'": ("x", b"a"),
    "S'1'": ("S", b"1"),
    "S''": ("S", b""),
    "S'true'": ("S", b"true"),
    "S'undefined'": ("S", b"undefined"),
    "void": ("V", None),
    "D0,1": ("D", (0, 1)),
    "D1,10": ("D", (1, 10)),
    "f0.1": ("f", 0.10000000149011612),
    "d0.1": ("d", 0.1),
    "[I1]": ("A", (("I", 1),)),
    "[l1]": ("A", (("l", 1),)),
    "[d1]": ("A", (("d", 1.0),)),
    "[]": ("A", ()),
    "{}": ("F", {}),
    "{a:I1}": ("F", {"a": ("I", 1)}),
    "{a:l1}": ("F", {"a": ("l", 1)}),
    "{a,b}": ("F", {"a": ("I", 1), "b": ("I", 2)}),
    "{b,a}": ("F", {"b": ("I", 2), "a": ("I", 1)}),
}
EQUAL_ON_RABBITMQ: Final = (
    {"I1", "l1", "d1", "f1", "b1", "T1"},
    {"S'a'", "x'a'"},
    {"[]", "{}"},
)
"""Recorded: all other values are equal to nothing but themselves."""

ARGUMENTS: Final[dict[str, Fields]] = {
    "none": {},
    "all": {"x-match": ("S", b"all")},
    "any": {"x-match": ("S", b"any")},
    "all-x": {"x-match": ("S", b"all-with-x")},
    "any-x": {"x-match": ("S", b"any-with-x")},
    "all a": {"x-match": ("S", b"all"), "a": ("I", 1)},
    "all a b": {"x-match": ("S", b"all"), "a": ("I", 1), "b": ("I", 2)},
    "any a b": {"x-match": ("S", b"any"), "a": ("I", 1), "b": ("I", 2)},
    "all x-h": {"x-match": ("S", b"all"), "x-h": ("I", 1)},
    "any x-h": {"x-match": ("S", b"any"), "x-h": ("I", 1)},
    "all-x x-h": {"x-match": ("S", b"all-with-x"), "x-h": ("I", 1)},
    "any-x x-h": {"x-match": ("S", b"any-with-x"), "x-h": ("I", 1)},
    "all-x x-h a": {"x-match": ("S", b"all-with-x"), "x-h": ("I", 1), "a": ("I", 1)},
    "any-x x-h a": {"x-match": ("S", b"any-with-x"), "x-h": ("I", 1), "a": ("I", 1)},
    "all x-h a": {"x-match": ("S", b"all"), "x-h": ("I", 1), "a": ("I", 1)},
    "any void": {"x-match": ("S", b"any"), "a": ("V", None)},
    "all void": {"x-match": ("S", b"all"), "a": ("V", None)},
    "all-x x-matchy": {"x-match": ("S", b"all-with-x"), "x-matchy": ("I", 1)},
    "x": {"x": ("I", 1)},
    "X-h": {"X-h": ("I", 1)},
}
ALWAYS: Final = {"none", "all", "all-x", "all x-h"}
RECORDED: Final[list[tuple[Fields, set[str]]]] = [
    ({}, set()),
    (
        {"a": ("I", 1)},
        {"all a", "any a b", "any-x x-h a", "all x-h a", "any void", "all void"},
    ),
    ({"a": ("I", 2)}, {"any void", "all void"}),
    ({"a": ("V", None)}, {"any void", "all void"}),
    (
        {"a": ("I", 1), "b": ("I", 2)},
        {"all a", "all a b", "any a b", "any-x x-h a", "all x-h a", "any void", "all void"},
    ),
    ({"x-h": ("I", 1)}, {"all-x x-h", "any-x x-h", "any-x x-h a"}),
    (
        {"x-h": ("I", 1), "a": ("I", 1)},
        {"all a", "any a b", "all-x x-h", "any-x x-h", "all-x x-h a", "any-x x-h a"}
        | {"all x-h a", "any void", "all void"},
    ),
    ({"x-match": ("S", b"all-with-x")}, set()),
    ({"x": ("I", 1)}, {"x"}),
    ({"X-h": ("I", 1)}, {"X-h"}),
    ({"x-matchy": ("I", 1)}, {"all-x x-matchy"}),
]
"""Headers, and the bindings that matched besides those that always do."""


def bound_with(name: str, arguments: Fields) -> Binding:
    return Binding("x", Destination("queue", name), "", freeze_arguments(arguments))


@pytest.mark.parametrize("header", VALUES)
def test_values_equal_as_on_rabbitmq(header: str) -> None:
    bindings = [bound_with(name, {"k": value}) for name, value in VALUES.items()]
    exchange = exchange_of("headers", *bindings)
    same = next((names for names in EQUAL_ON_RABBITMQ if header in names), {header})
    found = queues_of(exchange, PlainMessage(headers={"k": VALUES[header]}))
    assert set(found) == same | {"void"}


@pytest.mark.parametrize(("headers", "matched"), RECORDED)
def test_modes_match_as_on_rabbitmq(headers: Fields, matched: set[str]) -> None:
    bindings = [bound_with(name, arguments) for name, arguments in ARGUMENTS.items()]
    exchange = exchange_of("headers", *bindings)
    assert set(queues_of(exchange, PlainMessage(headers=headers))) == ALWAYS | matched


NAMES = st.sampled_from(["a", "b", "c", "x-a", "x", "x-match", "x-matchy"])
FIELDS = st.sampled_from([VALUES[name] for name in ("I1", "d1", "true", "I0", "S'a'", "void")])
TABLES = st.dictionaries(NAMES, FIELDS, max_size=4)
MODES = st.sampled_from([b"all", b"any", b"all-with-x", b"any-with-x"])


def equals(left: Field, right: Field) -> bool:
    return (left[0] == "t") == (right[0] == "t") and bool(left[1] == right[1])


def is_match(arguments: Fields, headers: Fields) -> bool:
    """Return whether arguments match, straight from the description of the four modes."""
    mode = arguments["x-match"][1].decode()
    with_x = mode.endswith("-with-x")
    facts = [
        name in headers and (argument[0] == "V" or equals(argument, headers[name]))
        for name, argument in arguments.items()
        if name != "x-match" and (with_x or not name.startswith("x-"))
    ]
    return all(facts) if mode.startswith("all") else any(facts)


@given(st.lists(st.tuples(TABLES, MODES), max_size=12), st.integers(0, 12), TABLES)
def test_agrees_with_the_model(
    asked: list[tuple[Fields, bytes]], unbound_count: int, headers: Fields
) -> None:
    tables = [{**table, "x-match": ("S", mode)} for table, mode in asked]
    exchange = exchange_of(
        "headers", *(bound_with(str(number), table) for number, table in enumerate(tables))
    )
    for number, table in enumerate(tables[:unbound_count]):
        assert exchange.unbind(bound_with(str(number), table))
    expected = {
        str(number)
        for number, table in enumerate(tables)
        if number >= unbound_count and is_match(table, headers)
    }
    assert set(queues_of(exchange, PlainMessage("k", headers=headers))) == expected


def test_the_order_does_not_depend_on_the_hash_of_strings() -> None:
    arguments: Fields = {name: ("S", name.encode()) for name in "hgfedcba"}
    exchange = exchange_of("headers", *(bound_with(str(n), arguments) for n in range(6)))
    headers = dict(reversed(arguments.items()))
    assert queues_of(exchange, PlainMessage(headers=headers)) == list("012345")


@pytest.mark.parametrize(
    ("x_match", "text"),
    [
        (("S", b"foo"), 'value <<"foo">>; expected all, any, all-with-x, or any-with-x'),
        (("S", b""), "value <<>>; expected all, any, all-with-x, or any-with-x"),
        (("I", 1), "type signedint (value 1); expected longstr"),
        (("t", True), "type bool (value true); expected longstr"),
        (("V", None), "type void (value undefined); expected longstr"),
        (
            ("A", (("S", b"all"), ("I", 2))),
            'type array (value [{longstr,<<"all">>},{signedint,2}]); expected longstr',
        ),
        (
            ("F", {"a": ("A", (("I", 1),))}),
            'type table (value [{<<"a">>,array,[{signedint,1}]}]); expected longstr',
        ),
    ],
)
def test_a_bad_x_match_is_refused_in_rabbitmqs_words(x_match: Field, text: str) -> None:
    with pytest.raises(SoftError) as caught:
        exchange_of("headers").check_binding(bound_with("q", {"x-match": x_match}))
    assert caught.value.reply_text == f"PRECONDITION_FAILED - Invalid x-match field {text}"
