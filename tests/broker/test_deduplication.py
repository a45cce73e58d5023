"""The window of keys: what it knows, what it forgets, and what a restart leaves (FEATURES N6)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.broker.deduplication import FORGOTTEN_COUNT_MAX, TTL_MS, Window, WindowSettings
from amqpbroker.wire.content import Publication
from amqpbroker.wire.table import Field
from tests.broker.client import make_broker
from tests.broker.clock import Clock, advance, clocked


def publication(**headers: tuple[str, Any]) -> Publication:
    named = {name.replace("_", "-"): Field(*field) for name, field in headers.items()}
    return Publication.of("", "q", {"headers": named} if named else {}, 0)


def keyed(key: str, **more: tuple[str, Any]) -> Publication:
    return publication(x_deduplication_header=("S", key.encode()), **more)


class Bench:
    """A window in memory, and a clock."""

    def __init__(self, **settings: Any) -> None:
        self.broker = make_broker()
        self.clock: Clock = clocked(self.broker)
        self.window = Window(self.broker.vhosts["/"], "w", WindowSettings(**settings))

    def offer(self, message: Publication, body: bytes = b"") -> bool:
        """Do what a queue does with a message; return whether it was new."""
        key = self.window.key_of(message, body)
        if key is not None and self.window.ticket_of(key) is not None:
            return False
        if key is not None:
            self.window.remember(key, message, None)
        return True

    def advance(self, seconds: float) -> None:
        advance(self.broker.timers, self.clock, seconds)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, WindowSettings(ttl_ms=TTL_MS)),
        ({"x-cache-size": ("I", 5)}, WindowSettings(size_max=5, ttl_ms=None)),
        ({"x-cache-size": ("S", b"5")}, WindowSettings(size_max=5, ttl_ms=None)),
        ({"x-cache-ttl": ("l", 7)}, WindowSettings(ttl_ms=7)),
        ({"x-cache-ttl": ("l", 10**15)}, WindowSettings(ttl_ms=315_360_000_000)),
        ({"x-deduplication-header": ("S", b"id")}, WindowSettings(header="id")),
        ({"x-content-based-deduplication": ("t", True)}, WindowSettings(is_by_content=True)),
    ],
)
def test_settings_come_from_arguments(
    arguments: dict[str, tuple[str, Any]], expected: WindowSettings
) -> None:
    assert WindowSettings.of(arguments) == expected


def test_a_key_is_new_once() -> None:
    bench = Bench()
    assert [bench.offer(keyed(key)) for key in "abaab"] == [True, True, False, False, False]


def test_messages_without_a_key_are_all_new() -> None:
    bench = Bench()
    messages = [publication(), publication(), publication(x_deduplication_header=("V", None))]
    assert all(bench.offer(message) for message in messages * 2)
    assert not len(bench.window)


def test_keys_of_different_types_differ() -> None:
    bench = Bench()
    fields: list[tuple[str, Any]] = [("S", b"1"), ("I", 1), ("t", True), ("d", 1.0), ("T", 1)]
    messages = [publication(x_deduplication_header=field) for field in fields]
    assert [bench.offer(message) for message in messages * 2] == [True] * 5 + [False] * 5


def test_integers_are_the_same_whatever_their_width() -> None:
    bench = Bench()
    assert bench.offer(publication(x_deduplication_header=("I", 7)))
    assert not bench.offer(publication(x_deduplication_header=("l", 7)))


def test_another_header_may_hold_the_key() -> None:
    bench = Bench(header="id")
    assert [bench.offer(publication(id=("S", b"1"))) for _ in range(2)] == [True, False]
    assert [bench.offer(keyed("1")) for _ in range(2)] == [True, True]


def test_a_body_may_be_the_key() -> None:
    bench = Bench(is_by_content=True)
    bodies = [b"1", b"2", b"1"]
    assert [bench.offer(publication(), body) for body in bodies] == [True, True, False]
    assert [bench.offer(keyed("k"), body) for body in bodies] == [True, False, False]


def test_a_key_is_forgotten_after_its_time() -> None:
    bench = Bench(ttl_ms=5000)
    assert bench.offer(keyed("a"))
    bench.advance(4.999)
    assert not bench.offer(keyed("a"))
    bench.advance(0.001)
    assert not len(bench.window)
    assert bench.offer(keyed("a"))


def test_a_duplicate_does_not_prolong_the_time() -> None:
    bench = Bench(ttl_ms=5000)
    bench.offer(keyed("a"))
    bench.advance(3)
    bench.offer(keyed("a"))
    bench.advance(2)
    assert bench.offer(keyed("a"))


def test_a_message_may_bring_its_own_time() -> None:
    bench = Bench(ttl_ms=60_000)
    assert bench.offer(keyed("a", x_cache_ttl=("I", 1000)))
    assert bench.offer(keyed("b", x_cache_ttl=("I", -1)))
    bench.advance(1)
    assert bench.offer(keyed("a"))
    assert not bench.offer(keyed("b"))


def test_the_oldest_key_makes_room() -> None:
    bench = Bench(size_max=2, ttl_ms=None)
    assert [bench.offer(keyed(key)) for key in "abcba"] == [True, True, True, False, True]
    assert len(bench.window) == 2
    assert not len(bench.broker.timers)


def test_many_keys_are_forgotten_in_turns() -> None:
    bench = Bench(ttl_ms=1000)
    for number in range(FORGOTTEN_COUNT_MAX + 1):
        bench.offer(keyed(str(number)))
    bench.clock.now += 1
    bench.broker.timers.fire()
    assert len(bench.window) == 1
    bench.broker.timers.fire()
    assert not len(bench.window)
    assert not len(bench.broker.timers)


def test_a_window_that_is_discarded_knows_nothing() -> None:
    bench = Bench()
    bench.offer(keyed("a"))
    bench.window.discard()
    assert not len(bench.broker.timers)
    assert bench.offer(keyed("a"))
    assert bench.offer(keyed("a"))
    assert not len(bench.window)


class Twin:
    """The obvious window: a list of [key, when it is forgotten], the oldest first."""

    def __init__(self, size_max: int, ttl_s: float | None) -> None:
        self.size_max = size_max
        self.ttl_s = ttl_s
        self.now = 0.0
        self.rows: list[tuple[str, float]] = []

    def offer(self, key: str, ttl_s: float | None) -> bool:
        if any(known == key and until > self.now for known, until in self.rows):
            return False
        self.rows = [row for row in self.rows if row[0] != key]
        ttl_s = self.ttl_s if ttl_s is None else ttl_s
        self.rows.append((key, float("inf") if ttl_s is None else self.now + ttl_s))
        self.rows = self.rows[-self.size_max :]
        return True

    def advance(self, seconds: float) -> None:
        self.now += seconds
        while self.rows and self.rows[0][1] <= self.now:
            del self.rows[0]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from("abcdef"), st.sampled_from([None, None, 1, 3])),
        st.tuples(st.just("advance"), st.sampled_from([1, 2])),
    ),
    max_size=40,
)


@given(st.integers(1, 4), st.sampled_from([None, 2, 5]), STEPS)
def test_a_window_agrees_with_its_twin(
    size_max: int, ttl_s: int | None, steps: list[tuple[str, int | None]]
) -> None:
    bench = Bench(size_max=size_max, ttl_ms=None if ttl_s is None else ttl_s * 1000)
    twin = Twin(size_max, ttl_s)
    for name, value in steps:
        if name == "advance":
            assert value is not None
            bench.advance(value)
            twin.advance(value)
        else:
            own = {} if value is None else {"x_cache_ttl": ("I", value * 1000)}
            assert bench.offer(keyed(name, **own)) == twin.offer(name, value)
        assert len(bench.window) == len(twin.rows)
