"""Where a consumer of a stream begins and what it wants (FEATURES A11.5-A11.7)."""

from __future__ import annotations

import random
from typing import Any

import pytest

from amqpbroker.broker.arguments import AGE_MS_MAX, age_ms
from amqpbroker.broker.stream_arguments import Start, filter_of, filter_value, start_of
from amqpbroker.errors import SoftError
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.table import Field

NOW_MS = 1_700_000_000_000
DAY_MS = 86_400_000


def start(kind: str, value: object) -> Start:
    return start_of({"x-stream-offset": Field(kind, value)}, "queue 's' in vhost '/'", NOW_MS)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("S", b"first", Start("first")),
        ("S", b"last", Start("last")),
        ("x", b"next", Start("next")),
        ("I", 7, Start(offset=7)),
        ("l", -1, Start(offset=-1)),
        ("T", 1_600_000_000, Start(timestamp_ms=1_600_000_000_000)),
        ("S", b"2h", Start(timestamp_ms=NOW_MS - 7_200_000)),
    ],
)
def test_forms_of_an_offset(kind: str, value: object, expected: Start) -> None:
    assert start(kind, value) == expected


def test_by_default_one_begins_with_what_is_to_come() -> None:
    assert start_of({}, "", NOW_MS) == Start("next")


@pytest.mark.parametrize(
    ("kind", "value", "term"),
    [
        ("S", b"0h", '{longstr,<<"0h">>}'),
        ("S", b"1x", '{longstr,<<"1x">>}'),
        ("S", b"", "{longstr,<<>>}"),
        ("t", True, "{bool,true}"),
        ("V", None, "{void,undefined}"),
        ("A", (Field("I", 1),), "{array,[]}"),
        ("x", b"1h", '{binary,<<"1h">>}'),
    ],
)
def test_anything_else_is_refused(kind: str, value: object, term: str) -> None:
    with pytest.raises(SoftError) as caught:
        start(kind, value)
    assert caught.value.reply_code == 406
    text = "invalid arg 'x-stream-offset' for queue 's' in vhost '/': {invalid_stream_offset_arg,"
    assert caught.value.reply_text.endswith(text + term + "}")


@pytest.mark.parametrize(
    ("age", "days"), [("1Y", 365), ("2M", 60), ("7D", 7), ("48h", 2), ("1440m", 1), ("86400s", 1)]
)
def test_units_of_an_age(age: str, days: int) -> None:
    assert age_ms(age) == days * DAY_MS


@pytest.mark.parametrize("digits", [15, 16, 400, 5000])
def test_an_age_that_no_time_reaches(digits: int) -> None:
    assert age_ms("9" * digits + "Y") == AGE_MS_MAX
    assert age_ms("0" * digits + "7s") == 7000


def test_filters_agree_with_their_definition_on_random_messages() -> None:
    rng = random.Random(1)
    names = [b"a", b"b", b"c", b""]
    for _ in range(500):
        wanted = rng.sample(names, rng.randrange(1, 4))
        unfiltered = rng.choice([None, True, False])
        table: dict[str, Any] = {
            "x-stream-filter": Field("A", tuple(Field("S", name) for name in wanted))
        }
        if unfiltered is not None:
            table["x-stream-match-unfiltered"] = Field("t", unfiltered)
        found = filter_of(table)
        assert found is not None
        value = rng.choice([*names, None])
        headers = {"h": Field("S", b"x-stream-filter-value")}
        if value is not None:
            headers["x-stream-filter-value"] = Field("S", value)
        raw = encode_properties({"headers": headers})
        assert filter_value(raw) == value
        assert found.matches(raw) is (bool(unfiltered) if value is None else value in wanted)


@pytest.mark.parametrize("field", [None, Field("I", 1), Field("t", True)])
def test_what_is_no_string_is_no_filter(field: Field | None) -> None:
    assert filter_of({} if field is None else {"x-stream-filter": field}) is None
