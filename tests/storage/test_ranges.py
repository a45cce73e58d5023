"""Sets of offsets, against Python's own sets."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.storage.ranges import Ranges

ranges = st.lists(st.builds(range, st.integers(0, 30), st.integers(0, 30)), max_size=8)


def members(items: list[range]) -> set[int]:
    return {offset for item in items for offset in item}


@given(ranges)
def test_ranges_are_merged_sorted_and_complete(items: list[range]) -> None:
    merged = list(Ranges(items))
    assert members(merged) == members(items)
    assert all(a.stop < b.start for a, b in itertools.pairwise(merged))


@given(ranges, st.integers(0, 40))
def test_skip_finds_the_next_offset_outside(items: list[range], offset: int) -> None:
    inside = members(items)
    expected = next(o for o in range(offset, 99) if o not in inside)
    assert Ranges(items).skip(offset) == expected


@given(ranges, st.integers(0, 40))
def test_retreat_goes_back_to_the_last_offset_outside(items: list[range], stop: int) -> None:
    inside = members(items)
    expected = stop
    while expected - 1 in inside:
        expected -= 1
    assert Ranges(items).retreat(stop) == expected


@given(ranges, st.integers(0, 30), st.integers(0, 30))
def test_covers_means_every_one(items: list[range], start: int, stop: int) -> None:
    assert Ranges(items).covers(start, stop) == (set(range(start, stop)) <= members(items))


def test_equal_sets_are_equal() -> None:
    assert Ranges([range(1, 2), range(2, 3)]) == Ranges().add(1, 3)
    assert hash(Ranges([range(1, 2), range(2, 3)])) == hash(Ranges().add(1, 3))
    assert repr(Ranges().add(1, 3)) == "Ranges([range(1, 3)])"
